"""The examples of ``docs/reference/messages-out.md``, from the builders themselves.

``python -m tests.unit.fhir.letters_page`` writes them into the page.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.unit.fhir.letter_inputs import EXAMPLES

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "messages-out.md"
WIDTH = 110
_EXAMPLE = re.compile(r"(?<=<!-- example: )([a-z-]+)( -->\n\n```json\n)(.*?)(\n```)", re.DOTALL)


def with_examples(text: str) -> str:
    """The page with every example as the builders write it now."""

    def example(match: re.Match[str]) -> str:
        shown = pretty(json.loads(EXAMPLES[match[1]]()))
        return f"{match[1]}{match[2]}{shown}{match[4]}"

    return _EXAMPLE.sub(example, text)


def pretty(node: Any, indent: int = 0) -> str:
    """JSON with what fits on one line on one line."""
    flat = json.dumps(node, ensure_ascii=False)
    if len(flat) + indent <= WIDTH or not isinstance(node, dict | list):
        return flat
    pad = " " * (indent + 2)
    if isinstance(node, dict):
        parts = [
            f"{pad}{json.dumps(name)}: {pretty(value, indent + 2)}" for name, value in node.items()
        ]
        return "{\n" + ",\n".join(parts) + "\n" + " " * indent + "}"
    parts = [f"{pad}{pretty(value, indent + 2)}" for value in node]
    return "[\n" + ",\n".join(parts) + "\n" + " " * indent + "]"


if __name__ == "__main__":
    PAGE.write_text(with_examples(PAGE.read_text("utf-8")), "utf-8")
