"""docs/reference/tracing.md names what the code has."""

from __future__ import annotations

from pathlib import Path

from connectors.local_authority.rules import TRACE_RULES
from connectors.trace_files.lines import ALIASES, COLUMNS
from connectors.trace_files.response import CODES
from streams.tracer.batch_outcomes import OUTCOMES

TEXT = (Path(__file__).parents[3] / "docs" / "reference" / "tracing.md").read_text("utf-8")


def test_the_page_names_outcomes_rules_columns_and_codes() -> None:
    """In the words of the answers."""
    for outcome in OUTCOMES:
        assert f"| `{outcome}` | " in TEXT
    for rule, message in TRACE_RULES.items():
        assert f"| `{rule}` | {message} |" in TEXT
    for column in COLUMNS:
        assert f"| `{column}` | {', '.join(ALIASES[column])} |" in TEXT
    assert all(code in TEXT for code in CODES)
