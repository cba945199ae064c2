"""The reference page of the decisions lists what the code has."""

from __future__ import annotations

from pathlib import Path

from streams.cases import duplicates, eligibility, panel

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "case-decisions.md"


def test_the_page_lists_every_rule_of_eligibility_in_order() -> None:
    """Row by row, with its outcome and source."""
    rows = [
        f"| `{rule.name}` | {rule.when} | {rule.outcome.value} | {rule.source} |"
        for rule in eligibility.RULES
    ]
    assert "\n".join(rows) in PAGE.read_text("utf-8")


def test_the_page_lists_every_rule_of_the_panel() -> None:
    """Row by row."""
    rows = [f"| `{name}` | {when} |" for name, when in panel.RULES.items()]
    assert "\n".join(rows) in PAGE.read_text("utf-8")


def test_the_page_lists_every_feature_and_rule_of_duplicates() -> None:
    """With the points of each, and what is proposed."""
    features = [
        f"| `{one.name}` | {one.alike:g} | {one.nearly:g} | {one.different:g} | "
        f"{'yes' if one.name in duplicates.TELLING else ''} |"
        for one in duplicates.FEATURES
    ]
    rules = [
        f"| `{name}` | {when} | {'yes' if proposes else 'no'} |"
        for name, (proposes, when) in duplicates.RULES.items()
    ]
    page = PAGE.read_text("utf-8")
    assert "\n".join(features) in page
    assert "\n".join(rules) in page
