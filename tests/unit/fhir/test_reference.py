"""The FHIR reference page names what the code has."""

from __future__ import annotations

import re

from fastapi.routing import APIRoute

from connectors.fhir.death_events import (
    ABSENT,
    ABSENT_CODES,
    AS_AT,
    DATA_ABSENT,
    DEATH_EVENTS,
    OPINION,
    PDS_STATUSES,
    VOID_REASON,
    VOID_REASONS,
    DeathEventCode,
)
from connectors.fhir.death_messages import MAX_REFERENCE
from connectors.fhir.detail import ADMISSION_METHOD, LOCATION_SHIELDED, MODE_OF_ARRIVAL
from connectors.fhir.events import ENGLAND, OWN, OWN_CODES, V2_TRIGGER, WALES, WELSH_CODES
from connectors.fhir.fitting import MAX_MARKS
from connectors.fhir.forms import MAX_FACTS, MAX_ROWS, MAX_TEXT
from connectors.fhir.outcomes import PATH, RECEIPT, RULES, RULES_SYSTEM
from connectors.fhir.router import make_router
from tests.support.face import ROOT

PAGE = (ROOT / "docs" / "reference" / "fhir.md").read_text("utf-8")
DEATHS = (ROOT / "docs" / "reference" / "fhir-deaths.md").read_text("utf-8")


def test_the_page_lists_every_rule_with_its_status() -> None:
    """With the words that the answers use."""
    for name, rule in RULES.items():
        assert f"| `{name}` | {rule.status} | {rule.advice} |" in PAGE


def test_the_page_lists_every_event_and_name() -> None:
    """Code systems, codes, extensions, headers."""
    for code, trigger in OWN_CODES.items():
        assert f"| `{code}` | {trigger} |" in PAGE
    for name in (*WELSH_CODES, OWN, V2_TRIGGER, ENGLAND, WALES, RULES_SYSTEM, RECEIPT, PATH):
        assert f"`{name}`" in PAGE or f"`POST {name}`" in PAGE
    for extension in (MODE_OF_ARRIVAL, LOCATION_SHIELDED, ADMISSION_METHOD.rpartition("/")[2]):
        assert extension in PAGE


def test_the_page_lists_every_mark() -> None:
    """As the connector's own code writes them."""
    written = set()
    for file in (ROOT / "connectors" / "fhir").glob("*.py"):
        for line in re.findall(
            r"marks\.append\(\s*([^{].*?)\)", file.read_text("utf-8"), re.DOTALL
        ):
            written |= set(re.findall(r'"([a-z0-9-]+)[":]', line))
        written |= set(re.findall(r'reading\.mark\("([a-z0-9-]+)"', file.read_text("utf-8")))
    assert len(written) > 20
    assert {mark for mark in written if f"`{mark}`" not in PAGE + DEATHS} == set()


def test_the_page_of_deaths_lists_every_event_code_and_name() -> None:
    """Message events, codes of absence, of a void and of PDS, extensions, forms."""
    for code in (*DeathEventCode, *ABSENT_CODES, *VOID_REASONS, *PDS_STATUSES):
        assert f"`{code}`" in DEATHS, code
    for name in (DEATH_EVENTS, ABSENT, OPINION, AS_AT, DATA_ABSENT, VOID_REASON):
        assert f"`{name}`" in DEATHS, name
    for limit in (MAX_TEXT, MAX_ROWS, MAX_FACTS, MAX_MARKS, MAX_REFERENCE):
        assert f"{limit:,}" in DEATHS


def test_the_one_route_is_the_documented_one() -> None:
    """Nothing else is served under /fhir."""
    nothing: object = None  # routes are only listed here
    routes = [one for one in make_router(nothing).routes if isinstance(one, APIRoute)]  # type: ignore[arg-type]
    assert [(one.path, one.methods) for one in routes] == [(PATH, {"POST"})]
    assert f"`POST {PATH}`" in (ROOT / "docs" / "reference" / "http-api.md").read_text("utf-8")
