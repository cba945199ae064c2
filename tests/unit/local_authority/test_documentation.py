"""The reference page names what the code has."""

from __future__ import annotations

from pathlib import Path

from connectors.local_authority.answers import FILE_TEXTS
from connectors.local_authority.reading import CONTENT_TYPES
from connectors.local_authority.rules import FILE_RULES, ROW_RULES
from connectors.local_authority.tables import ALIASES
from sandbox.receiver import MODES

DOCS = Path(__file__).parents[3] / "docs"


def test_the_flag_file_page_names_what_csv_knows() -> None:
    """Names of columns, rules and file codes, in the words of the answers."""
    text = (DOCS / "reference" / "flag-file.md").read_text("utf-8")
    for rule, message in {**FILE_RULES, **ROW_RULES}.items():
        assert f"| `{rule}` | {message} |" in text
    for column, names in ALIASES.items():
        assert f"| `{column}` | {', '.join(names)} |" in text
    for code, meaning in FILE_TEXTS.items():
        assert f"| {code} | {meaning} |" in text
    for kind, format_ in CONTENT_TYPES.items():
        assert format_ == "jsonl" or f"`{kind}`" in text


def test_the_practice_page_names_every_misbehaviour() -> None:
    """And only those."""
    text = (DOCS / "howto" / "practice.md").read_text("utf-8")
    assert [mode for mode in MODES if f"`{mode}`" not in text and f'"{mode}"' not in text] == []
