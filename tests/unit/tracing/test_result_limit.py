"""A long result has time of its own; no other path has."""

from __future__ import annotations

import uuid

import pytest

from flag_service.trace_batches import LOAD_SECONDS, RESULT_SECONDS, trace_limits
from halyard.http_edge import limit_of
from halyard.settings import Settings

ID = uuid.UUID("11111111-2222-4333-8444-55555555ABCD")


@pytest.mark.parametrize(
    ("method", "path", "seconds"),
    [
        ("POST", "/trace-batches", LOAD_SECONDS),
        ("GET", f"/trace-batches/{ID}/result", RESULT_SECONDS),
        ("GET", f"/trace-batches/{str(ID).upper()}/result", RESULT_SECONDS),
        ("GET", f"/trace-batches/{ID}", None),
        ("GET", f"/trace-batches/{ID}x/result", None),
        ("DELETE", f"/trace-batches/{ID}/result", None),
        ("GET", "/trace-batches/{}/result", None),
        ("GET", "/alerts", None),
    ],
)
def test_a_limit_is_found_by_path_or_by_path_with_ids(
    method: str, path: str, seconds: float | None
) -> None:
    """The exact path first; else with `{id}` where a UUID stands."""
    found = limit_of(trace_limits(Settings()), method, path)
    assert (None if found is None else found.seconds) == seconds
