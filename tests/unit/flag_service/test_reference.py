"""The reference pages name what the code has."""

from __future__ import annotations

from connectors.local_authority.answers import TEXTS
from connectors.local_authority.records import COLUMNS, RULES
from flag_service import lookup
from halyard.cli.documents import openapi_document
from tests.support.face import ROOT

REFERENCE = ROOT / "docs" / "reference"


def page(name: str) -> str:
    """Text of a reference page."""
    return (REFERENCE / name).read_text("utf-8")


def test_the_flag_file_page_names_columns_rules_and_codes() -> None:
    """With the words that the answers use."""
    text = page("flag-file.md")
    for column in COLUMNS:
        assert f"`{column}`" in text
    for rule, message in RULES.items():
        assert f"| `{rule}` | {message} |" in text
    for code, meaning in TEXTS.items():
        assert f"| {code} | {meaning} |" in text


def test_a_page_names_every_route_and_answer() -> None:
    """No route is there that no page of the reference describes; the list of roles is not one."""
    pages = [
        one.read_text("utf-8") for one in REFERENCE.glob("*.md") if one.name != "authorisation.md"
    ]
    routes = [
        f"{method.upper()} {path}"
        for path, methods in openapi_document()["paths"].items()
        for method in methods
    ]
    assert [one for one in routes if not any(f"`{one}`" in text for text in pages)] == []
    text = page("http-api.md")
    for answer in (lookup.FLAGGED, lookup.NONE_HELD, lookup.NOT_CHECKED):
        assert f"`{answer}`" in text
