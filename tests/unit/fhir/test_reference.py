"""The FHIR reference page names what the code has."""

from __future__ import annotations

import re

from fastapi.routing import APIRoute

from connectors.fhir.detail import ADMISSION_METHOD, LOCATION_SHIELDED, MODE_OF_ARRIVAL
from connectors.fhir.events import ENGLAND, OWN, OWN_CODES, V2_TRIGGER, WALES, WELSH_CODES
from connectors.fhir.outcomes import PATH, RECEIPT, RULES, RULES_SYSTEM
from connectors.fhir.router import make_router
from tests.support.face import ROOT

PAGE = (ROOT / "docs" / "reference" / "fhir.md").read_text("utf-8")


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
        for line in re.findall(r"marks\.append\(\s*(.*?)\)", file.read_text("utf-8"), re.DOTALL):
            written |= set(re.findall(r'"([a-z0-9-]+)[":]', line))
    assert len(written) > 20
    assert {mark for mark in written if f"`{mark}`" not in PAGE} == set()


def test_the_one_route_is_the_documented_one() -> None:
    """Nothing else is served under /fhir."""
    nothing: object = None  # routes are only listed here
    routes = [one for one in make_router(nothing).routes if isinstance(one, APIRoute)]  # type: ignore[arg-type]
    assert [(one.path, one.methods) for one in routes] == [(PATH, {"POST"})]
    assert f"`POST {PATH}`" in (ROOT / "docs" / "reference" / "http-api.md").read_text("utf-8")
