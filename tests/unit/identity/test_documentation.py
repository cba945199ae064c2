"""The reference page lists the rules that the code has."""

from __future__ import annotations

from pathlib import Path

from streams.identity.ladder import RULES

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "identity.md"


def test_the_page_lists_every_rule_in_order() -> None:
    """The table of docs/reference/identity.md is the ladder's, row by row."""
    rows = [f"| `{rule.name}` | {rule.when} | {rule.outcome} |" for rule in RULES]
    assert "\n".join(rows) in PAGE.read_text()
