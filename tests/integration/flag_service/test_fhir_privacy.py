"""NHS interfaces put a number into the URL: nothing that the hub writes about a request repeats it.

Good requests, bad ones, broken ones and a face that fails, with every library's logger wide open.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import httpx
import psycopg
import pytest
from prometheus_client import generate_latest

from connectors.fhir.writing import NHS_NUMBER
from flag_service.lookups import Lookups
from halyard import metrics
from tests.support.face import INFIRMARY, KEYS, TOKENS, Hub, bearer, hub, raw, real_logs, settings
from tests.support.services import Database

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
CANARY = "9991230017"
FORMS = (CANARY, "999 123 0017", "999%20123%200017", "999-123-0017", KEYS.person(CANARY))
TEAMS = "/cpis/FHIR/R4/CareTeam"
TOKEN = TOKENS[INFIRMARY]


@pytest.fixture
async def face(database: Database) -> AsyncIterator[Hub]:
    """A hub to which no authority has sent a file."""
    made = settings(database_url=database.url)
    async with hub(made, connect=False, clock=lambda: NOW) as running:
        yield running


@contextlib.contextmanager
def wide_open() -> Iterator[None]:
    """Logs as a process writes them, and every library says all it can."""
    root = logging.getLogger()
    before = root.level
    with real_logs():
        root.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            root.setLevel(before)


def request(target: str, *headers: str) -> bytes:
    """A GET by hand."""
    lines = [f"GET {target} HTTP/1.1", "Host: hub", f"Authorization: Bearer {TOKEN}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


async def used(face: Hub) -> None:
    """The number in URLs of every kind."""
    given = {"patient:identifier": f"{NHS_NUMBER}|{CANARY}"}
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(INFIRMARY)) as http:
        for path in (TEAMS, "/cpis/FHIR/R4/AuditEvent", "/cpis/FHIR/R4/Patient"):
            await http.get(path, params=given)
        await http.get(f"/cpis/FHIR/R4/CareTeam/{CANARY}")
        await http.get("/patient-flags/FHIR/R4/PatientFlag", params={"patient": CANARY})
        await http.get(TEAMS, params={CANARY: "x", **given})
        await http.get(TEAMS, params={**given, "patient:identifier": "999 123 0017"})
        await http.get(TEAMS, params=given, headers={"TraceID": CANARY, "X-Request-ID": CANARY})
        await http.get(TEAMS, params=given, headers={"X-Correlation-ID": CANARY})
        await http.post(f"{TEAMS}/_search", params=given, data=given)
        await http.put(TEAMS, params=given)
        await http.get(TEAMS, params=given, headers={"Authorization": f"Bearer {CANARY}"})


async def broken(face: Hub) -> None:
    """What no HTTP library would send: the server's own errors."""
    target = f"{TEAMS}?patient:identifier={quote(NHS_NUMBER)}|{CANARY}"
    for sent in (
        request(target, "Content-Length: -1"),
        request(target, f"X {CANARY}: y"),
        request(f"{target}\x00"),
        request(f"{target} again"),
        request(f"{target}{'&x=1' * 40_000}"),
        request(target, "Transfer-Encoding: odd", f"Cookie: {CANARY * 2_000}"),
        f"GET {target}\r\n\r\n".encode(),
        f"{CANARY} {target} HTTP/9.9\r\n\r\n".encode(),
    ):
        with contextlib.suppress(OSError, EOFError, TimeoutError, ValueError, IndexError):
            await raw(face.url, sent, seconds=2)


async def test_no_log_or_metric_repeats_a_number_of_a_url(
    face: Hub,
    database: Database,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Answered, refused, malformed and failing requests, with loggers at DEBUG; the audit chain and
    the accesses hold no number either.
    """

    async def fails(_self: Lookups, _look: object) -> None:
        raise RuntimeError(f"about {CANARY}")

    with wide_open():
        await used(face)
        await broken(face)
        with monkeypatch.context() as patched:
            patched.setattr(Lookups, "look", fails)
            await used(face)
        await face.asking.close()
        await used(face)
    said = capfd.readouterr()
    assert "lookup_failed" in said.err
    assert "http_failed" in said.err
    told = said.err + said.out + generate_latest(metrics.registry).decode()
    assert [form for form in FORMS if form in told] == []
    with psycopg.connect(database.admin_url) as connection:
        rows = connection.execute(
            "select body::text from halyard.audit_entries union all"
            " select row_to_json(a)::text from halyard.accesses a"
        ).fetchall()
    assert rows
    assert not any(CANARY in row[0] for row in rows)
