"""docs/reference/tracing.md names what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from connectors.local_authority.rules import TRACE_RULES
from connectors.trace_files.lines import ALIASES, COLUMNS
from connectors.trace_files.response import CODES
from connectors.trace_files.results import HEADER
from streams.tracer.batch_outcomes import OUTCOMES

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "reference" / "tracing.md").read_text("utf-8")
CODE = ("flag_service/trac*.py", "streams/tracer/batch*.py", "connectors/trace_files/*.py")


def test_the_page_names_outcomes_rules_columns_and_codes() -> None:
    """In the words of the answers."""
    for outcome in OUTCOMES:
        assert f"| `{outcome}` | " in TEXT
    for rule, message in TRACE_RULES.items():
        assert f"| `{rule}` | {message} |" in TEXT
    for column in COLUMNS:
        assert f"| `{column}` | {', '.join(ALIASES[column])} |" in TEXT
    assert all(code in TEXT for code in CODES)


def test_every_rule_of_tracing_in_code_is_in_the_page() -> None:
    """Of answers, refused lines, rows and requests: whoever is told one can look it up."""
    files = [path for pattern in CODE for path in ROOT.glob(pattern)]
    said = {
        rule
        for path in files
        for rule in re.findall(r'"(trace(?:_file)?\.[a-z_-]+)"', path.read_text("utf-8"))
    }
    assert {"trace.details_partly", "trace.not_known", "trace_file.twice"} <= said
    assert not {rule for rule in said if f"`{rule}`" not in TEXT}
    assert f"`{','.join(HEADER)}`" in TEXT
