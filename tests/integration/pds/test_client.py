"""The client against a real server: every answer has its outcome, and nothing is logged."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from connectors.pds.client import PdsClient, SearchQuery, silence_http_logs
from connectors.pds.comparison import compare
from connectors.pds.outcomes import (
    Bug,
    Found,
    Invalidated,
    InvalidNumber,
    NotFound,
    RateLimited,
    Superseded,
    TokenRefused,
    TooMany,
    Unavailable,
)
from connectors.pds.search import QUERIES_AT_MOST, search
from halyard.errors import ConfigurationError
from sandbox.pds.people import Person
from sandbox.pds.server import PdsThread
from sandbox.pds.settings import Faults
from sandbox.samples.cast import CAST
from schemas.events import PersonClaim


def client_of(url: str, **options: Any) -> PdsClient:
    """A client with the right token, unless told otherwise."""
    known = {"token": "practice-token", "end_user_organisation": "X26", "profile": "test"}
    return PdsClient(url, **{**known, **options})


def claim_of(person: Person, **changed: Any) -> PersonClaim:
    """A sender's claim about a person, as sent."""
    fields: dict[str, Any] = {
        "nhs_number": person.nhs_number,
        "family": person.family.upper(),
        "given": person.given,
        "birth_date": person.birth_date,
        "gender": person.gender,
        "postcode": person.postcode,
    }
    return PersonClaim(**{**fields, **changed})


def ids() -> list[Any]:
    """Request ids as the tracer would have stored them."""
    return [uuid4() for _ in range(QUERIES_AT_MOST)]


async def test_found_and_verified(client: PdsClient) -> None:
    """A child's number gives the record, and the claim's demographics confirm it."""
    outcome = await client.get(CAST.robin.nhs_number, uuid4())
    assert isinstance(outcome, Found)
    assert outcome.record.warnings == ()
    assert compare(claim_of(CAST.robin), outcome.record).verified


async def test_every_character_has_the_outcome_the_demo_needs(client: PdsClient) -> None:
    """Superseded, invalidated, restricted, unknown and unusable numbers, each its own class."""
    superseded = await client.get(CAST.superseded_old.nhs_number, uuid4())
    assert isinstance(superseded, Superseded)
    assert superseded.record.nhs_number == CAST.superseded_new.nhs_number
    claim = claim_of(CAST.superseded_old)
    assert compare(claim, superseded.record, requested=superseded.requested).verified
    assert await client.get(CAST.invalidated.nhs_number, uuid4()) == Invalidated()
    assert await client.get(CAST.nobody.nhs_number, uuid4()) == NotFound()
    restricted = await client.get(CAST.restricted.nhs_number, uuid4())
    assert isinstance(restricted, Found)
    assert (restricted.record.restricted, restricted.record.postcode) == (True, None)
    deceased = await client.get(CAST.everybody["deceased"].nhs_number, uuid4())
    assert isinstance(deceased, Found)
    assert deceased.record.deceased


@pytest.mark.parametrize("number", ["9990001015", "9999999999", "4010232137", "", "９９９0001014"])
async def test_numbers_that_cannot_be_are_not_asked(
    client: PdsClient, practice: PdsThread, number: str
) -> None:
    """A number that is malformed, a placeholder or out of the profile costs no call."""
    outcome = await client.get(number, uuid4())
    assert isinstance(outcome, InvalidNumber)
    assert outcome.rule.startswith("nhs_number.")
    assert practice.pds.calls()["received"] == 0


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Faults(down=True), Unavailable("pds.unavailable.http_503")),
        (Faults(status=502), Unavailable("pds.unavailable.http_502")),
        (Faults(status=408), Unavailable("pds.unavailable.unable_to_call_service")),
        (Faults(status=429), RateLimited()),
        (Faults(status=401), TokenRefused()),
        (Faults(garbage=True), Bug("pds.bug.unreadable_answer", 200)),
        (Faults(not_supported=True), Bug("pds.bug.not_supported", 200)),
        (Faults(status=404), Bug("pds.bug.unreadable_answer", 404)),
    ],
)
async def test_faults_have_outcomes(
    client: PdsClient, practice: PdsThread, fault: Faults, expected: Any
) -> None:
    """An outage, a spent ration, an expired token and nonsense: for a retrieval and a search."""
    practice.pds.faults = fault
    assert await client.get(CAST.robin.nhs_number, uuid4()) == expected
    searched = await search(client, claim_of(CAST.searched, nhs_number=None), ids())
    assert (searched.outcome, searched.calls, searched.verified) == (expected, 1, False)


async def test_a_retry_under_the_same_id_is_one_call(
    client: PdsClient, practice: PdsThread
) -> None:
    """After a time-out of PDS the same id asks again: PDS sees one call, and answers it."""
    practice.pds.faults = Faults(status=408, times=1)
    request_id = uuid4()
    outcome = await client.get(CAST.robin.nhs_number, request_id)
    assert isinstance(outcome, Unavailable)
    assert outcome.retry_same_id
    assert isinstance(await client.get(CAST.robin.nhs_number, request_id), Found)
    calls = practice.pds.calls()
    assert (calls["received"], calls["calls"], calls["reused"]) == (2, 1, 0)


async def test_a_slow_answer_is_unavailable(practice: PdsThread) -> None:
    """No whole answer within the time-out: unavailable, and the call is over."""
    practice.pds.faults = Faults(latency_ms=30_000, times=1)
    async with client_of(practice.url, timeout_seconds=0.2) as client:
        outcome = await client.get(CAST.robin.nhs_number, uuid4())
    assert outcome == Unavailable("pds.unavailable.timeout")


async def test_nobody_listens() -> None:
    """A refused connection is unavailable."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with client_of(url, timeout_seconds=5) as client:
            outcome = await client.get(CAST.robin.nhs_number, uuid4())
    assert outcome == Unavailable("pds.unavailable.connection")


async def test_a_wrong_address_is_never_no_such_person(practice: PdsThread) -> None:
    """A 404 of something that is not PDS is a bug, not "not found"."""
    wrong = practice.url.replace("/FHIR/", "/fhir/")
    async with client_of(wrong) as client:
        assert isinstance(await client.get(CAST.robin.nhs_number, uuid4()), Bug)


async def test_a_wrong_token_is_refused(practice: PdsThread) -> None:
    """A token PDS does not know, or none, is its own outcome."""
    for token in ("other", None):
        async with client_of(practice.url, token=token) as client:
            assert await client.get(CAST.robin.nhs_number, uuid4()) == TokenRefused()


async def test_ration_of_pds(practice: PdsThread) -> None:
    """Beyond PDS's own limit the outcome is that of a spent ration."""
    with PdsThread([CAST.robin], practice.pds.settings) as own:
        own.pds.settings = type(own.pds.settings)(calls_per_second=1)
        async with client_of(own.url) as client:
            first = await client.get(CAST.robin.nhs_number, uuid4())
            outcomes = [await client.get(CAST.robin.nhs_number, uuid4()) for _ in range(3)]
    assert isinstance(first, Found)
    assert RateLimited() in outcomes


async def test_search_finds_and_verifies(client: PdsClient, practice: PdsThread) -> None:
    """A child without a number is found by prefix, verified by names and birth date."""
    found = await search(client, claim_of(CAST.searched, nhs_number=None), ids())
    assert found.verified
    assert isinstance(found.outcome, Found)
    assert found.outcome.record.nhs_number == CAST.searched.nhs_number
    assert (found.query, found.calls) == ("given_prefix_and_birth_date", 1)
    assert practice.pds.calls()["calls"] == 1


async def test_search_finds_a_restricted_child_although_a_postcode_is_claimed(
    client: PdsClient,
) -> None:
    """No question names a place, so that a restricted child is found too."""
    claim = claim_of(CAST.restricted, nhs_number=None, postcode="ZZ4 4DD")
    found = await search(client, claim, ids())
    assert found.verified
    assert isinstance(found.outcome, Found)
    assert found.outcome.record.restricted


async def test_same_names_and_birth_date_are_too_many(client: PdsClient) -> None:
    """Two children with the same names and birth date, no postcode: nobody is chosen."""
    claim = claim_of(CAST.everybody["same_one"], nhs_number=None, postcode=None)
    found = await search(client, claim, ids())
    assert (found.outcome, found.comparison) == (TooMany(), None)


async def test_twins_with_like_names_are_told_apart(practice: PdsThread) -> None:
    """Robin and Robert, twins: the prefix finds both, the whole name each one, never the other."""
    twins = [
        Person(f"99900020{tail}", "Pairfield", (given,), "2019-05-05", "male", "ZZ1 1AA")
        for tail, given in (("29", "Robin"), ("37", "Robert"))
    ]
    with PdsThread(twins, practice.pds.settings) as own:
        async with client_of(own.url) as client:
            for twin in twins:
                found = await search(client, claim_of(twin, nhs_number=None), ids())
                assert found.verified
                assert isinstance(found.outcome, Found)
                assert found.outcome.record.nhs_number == twin.nhs_number
                assert found.calls == 2
    with PdsThread(twins[1:], practice.pds.settings) as own:
        async with client_of(own.url) as client:
            found = await search(client, claim_of(twins[0], nhs_number=None), ids())
            assert not found.verified


async def test_a_search_needs_its_ids(client: PdsClient) -> None:
    """No stored request id is refused before anything is asked; further ones are derived."""
    with pytest.raises(ValueError, match="request id"):
        await search(client, claim_of(CAST.searched), [])


async def test_headers_of_a_call() -> None:
    """Each call carries the stored id, the organisation and the token, and follows no redirect."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(302, headers={"Location": "http://elsewhere.test/"})

    request_id = uuid4()
    transport = httpx.MockTransport(answer)
    async with client_of("http://pds.test/", transport=transport) as client:
        outcome = await client.get(CAST.robin.nhs_number, request_id)
    assert outcome == Bug("pds.bug.unreadable_answer", 302)
    (request,) = seen
    assert request.headers["X-Request-ID"] == str(request_id)
    assert request.headers["NHSD-End-User-Organisation-ODS"] == "X26"
    assert request.headers["Authorization"] == "Bearer practice-token"


@pytest.mark.parametrize(
    ("status", "headers", "content", "expected"),
    [
        (200, {"X-Request-ID": str(uuid4())}, b"{}", Bug("pds.bug.answer_to_another_request", 200)),
        (200, {}, b"x" * 1_000_001, Bug("pds.bug.answer_too_large", 200)),
        (200, {"Content-Encoding": "gzip"}, b"not gzip", Bug("pds.bug.unreadable_answer", 200)),
        (429, {"Retry-After": "7"}, b"", RateLimited(7.0)),
        (429, {"Retry-After": "soon"}, b"", RateLimited()),
    ],
    ids=["another id", "too large", "not gzip", "retry after", "retry soon"],
)
async def test_odd_answers(
    status: int, headers: dict[str, str], content: bytes, expected: Any
) -> None:
    """Somebody else's answer, one too large, one that cannot be unpacked, and Retry-After."""
    transport = httpx.MockTransport(
        lambda _: httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))
    )
    async with client_of("http://pds.test", transport=transport) as client:
        assert await client.get(CAST.robin.nhs_number, uuid4()) == expected


@pytest.mark.parametrize(("url", "profile"), [("http://pds", "production"), ("ftp://x", "test")])
def test_an_unsafe_address_is_refused(url: str, profile: Any) -> None:
    """Plain http is for practice only; the error says which setting to correct."""
    with pytest.raises(ConfigurationError, match="HALYARD_PDS__BASE_URL"):
        client_of(url, profile=profile)


CANARY = CAST.everybody["accented"]
CANARIES = (CANARY.nhs_number, "9990001103", CANARY.family, "Súilleabháin", "S%C3%BAil", "Zo%C3%AB",
            "Zoë", CANARY.birth_date, "practice-token", "/Patient")  # fmt: skip


@pytest.fixture
def every_log_line() -> Iterator[list[str]]:
    """Everything any logger says, at the lowest level, even if somebody turned it on by name."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.name} {record.getMessage()} {record.__dict__}")

    silence_http_logs()
    names = [*logging.root.manager.loggerDict, "uvicorn.access", "uvicorn.error", "h11"]
    loggers = [logging.getLogger(name) for name in ("", *names)]
    before = [(each, each.level, each.propagate, each.disabled) for each in loggers]
    keeper = Keep(level=1)
    logging.root.addHandler(keeper)
    for each in loggers:
        each.setLevel(1)
        each.propagate, each.disabled = True, False
    yield lines
    logging.root.removeHandler(keeper)
    for each, level, propagate, disabled in before:
        each.setLevel(level)
        each.propagate, each.disabled = propagate, disabled


async def test_no_logger_at_any_level_repeats_what_was_asked(
    client: PdsClient,
    practice: PdsThread,
    every_log_line: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Numbers, names and paths of retrievals, searches and failures are in no log line of client
    or server, at level 1 of every logger, and on neither stdout nor stderr."""
    asyncio.get_running_loop().set_debug(True)
    logging.getLogger("probe").debug("probe_is_heard")
    for fault in (Faults(), Faults(down=True), Faults(garbage=True), Faults(status=401)):
        practice.pds.faults = fault
        for number in (CANARY.nhs_number, CAST.nobody.nhs_number):
            await client.get(number, uuid4())
        await search(client, claim_of(CANARY, nhs_number=None), ids())
        await client.search(SearchQuery("bad", (("family", CANARY.family),)), uuid4())
    practice.pds.faults = Faults(latency_ms=30_000, times=1)
    async with client_of(practice.url, timeout_seconds=0.1) as hasty:
        await hasty.get(CANARY.nhs_number, uuid4())
    async with client_of("http://127.0.0.1:9") as lost:
        await lost.get(CANARY.nhs_number, uuid4())
    assert any("probe_is_heard" in line for line in every_log_line)
    printed = "".join(capfd.readouterr())
    for canary in CANARIES:
        assert not [line.split()[0] for line in every_log_line if canary in line]
        assert canary not in printed
