"""The reference pages name what the code has."""

from __future__ import annotations

from typing import Any

from fastapi.routing import APIRoute

from connectors.local_authority.answers import TEXTS
from connectors.local_authority.records import COLUMNS, RULES
from connectors.local_authority.router import make_router as uploads_router
from flag_service import alerts, flags, lookup, status, worklist
from tests.support.face import ROOT, directory, settings

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


def test_the_api_page_names_every_route_and_answer() -> None:
    """No route is there that is not described."""
    nothing: Any = None  # routes are only listed here
    routers = (
        uploads_router(nothing, directory(), nothing, nothing),
        flags.make_router(settings(), nothing, nothing, directory(), nothing),
        alerts.make_router(nothing, directory(), nothing, nothing),
        worklist.make_router(nothing, nothing),
        status.make_router(status.Health({})),
    )
    text = page("http-api.md")
    for router in routers:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods or ():
                assert f"`{method} {route.path}`" in text
    for answer in (lookup.FLAGGED, lookup.NONE_HELD, lookup.NOT_CHECKED):
        assert f"`{answer}`" in text
