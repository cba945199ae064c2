"""The reference of messages out says what the code does."""

from __future__ import annotations

import re

from fastapi.routing import APIRoute

from connectors.fhir.mailbox import DEFAULT_LIMIT, LATER, MAX_LIMIT, RULES, make_router
from halyard.settings import MailboxSettings
from tests.support.face import ROOT
from tests.unit.fhir.letter_inputs import KINDS
from tests.unit.fhir.letters_page import PAGE, with_examples

TEXT = PAGE.read_text("utf-8")


def test_the_page_shows_each_letter_as_it_is_written() -> None:
    """Each kind has an example, made by the builder: `python -m tests.unit.fhir.letters_page`."""
    shown = re.findall(r"<!-- example: ([a-z-]+) -->", TEXT)
    assert sorted(shown) == sorted(KINDS)
    assert with_examples(TEXT) == TEXT


def test_the_page_names_rules_limits_and_the_link_relation() -> None:
    """With the words of the answers."""
    for rule, told in RULES.items():
        assert f"| `{rule}` | {told.status} | {told.advice} |" in TEXT
    assert LATER in TEXT
    assert f"at most {MAX_LIMIT}, {DEFAULT_LIMIT} if not given" in TEXT
    assert f"{MailboxSettings().keep_days} days" in TEXT


def test_the_pages_name_each_route() -> None:
    """The reference of the messages, and the one of the whole HTTP API."""
    api = (ROOT / "docs" / "reference" / "http-api.md").read_text("utf-8")
    nothing: object = None
    for route in make_router(nothing, nothing).routes:  # type: ignore[arg-type]
        assert isinstance(route, APIRoute)
        for method in route.methods or ():
            assert f"`{method} {route.path}`" in TEXT
            assert f"`{method} {route.path}`" in api
