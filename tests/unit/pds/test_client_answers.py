"""What comes instead of PDS's answer: gateways' pages, packed bodies, bodies without end."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from joserfc.jwk import RSAKey

from connectors.pds.client import PdsClient, SearchQuery
from connectors.pds.outcomes import (
    Bug,
    Found,
    GetOutcome,
    RateLimited,
    TokenRefused,
    Unavailable,
)
from connectors.pds.tokens import Application, Tokens
from sandbox.samples.cast import CAST

NUMBER = CAST.robin.nhs_number
PATIENT = {
    "resourceType": "Patient",
    "id": NUMBER,
    "meta": {"security": [{"code": "U"}]},
    "birthDate": "2017-03-14",
}
OTHERS = {"X-Request-ID": str(uuid4())}
Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


def outcome_of(code: str) -> bytes:
    """PDS's words for this code."""
    coding = {"details": {"coding": [{"code": code}]}}
    return json.dumps({"resourceType": "OperationOutcome", "issue": [coding]}).encode()


async def asked(handler: Handler, **options: Any) -> GetOutcome:
    """What a question comes to."""
    transport = httpx.MockTransport(cast(Any, handler))
    known = {"end_user_organisation": "X26", "profile": "test", **options}
    async with PdsClient("http://pds.test", transport=transport, **known) as client:
        return await client.get(NUMBER, uuid4())


def answering(status: int, content: bytes, **headers: str) -> Handler:
    """Always the same, as a stream that nothing has unpacked."""
    return lambda _: httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (503, Unavailable("pds.unavailable.http_503")),
        (500, Unavailable("pds.unavailable.http_500")),
        (408, Unavailable("pds.unavailable.http_408")),
        (429, RateLimited(7.0)),
        (401, TokenRefused()),
    ],
)
@pytest.mark.parametrize(
    "content",
    [
        b"<html>busy</html>",
        b"",
        outcome_of("RESOURCE_NOT_FOUND"),
        outcome_of("INVALIDATED_RESOURCE"),
    ],
    ids=["page", "empty", "not found", "invalidated"],
)
async def test_a_gateways_own_page_is_read_by_its_status(
    status: int, content: bytes, expected: GetOutcome
) -> None:
    """With the gateway's X-Request-ID: an outage, a 429, a refused token stay what they are; the
    body, which may be another's, says nothing of the person."""
    headers = {**OTHERS, "Retry-After": "7"}
    assert await asked(answering(status, content, **headers)) == expected


@pytest.mark.parametrize("status", [200, 404, 400, 403, 302])
@pytest.mark.parametrize(
    "content", [json.dumps(PATIENT).encode(), outcome_of("INVALIDATED_RESOURCE")]
)
async def test_what_says_something_of_a_person_must_be_this_calls(
    status: int, content: bytes
) -> None:
    """Somebody else's answer is none, whatever it says."""
    expected = Bug("pds.bug.answer_to_another_request", status)
    assert await asked(answering(status, content, **OTHERS)) == expected


async def test_a_gateways_401_has_the_token_renewed() -> None:
    """The first token is refused by a gateway that answers under its own id; the second is good."""
    given = iter(["one", "two"])

    async def tokens_answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"access_token": next(given), "expires_in": "599"})

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["Authorization"] == "Bearer one":
            return httpx.Response(401, headers=OTHERS, content=b"denied")
        return httpx.Response(200, json=PATIENT)

    async with tokens_of(tokens_answer) as tokens:
        assert isinstance(await asked(answer, tokens=tokens), Found)


def tokens_of(handler: Handler, **options: Any) -> Tokens:
    """An application's tokens, from this endpoint."""
    key = RSAKey.generate_key(2_048, {"kid": "k1"})
    application = Application("http://pds.test/token", "app", key)
    transport = httpx.MockTransport(cast(Any, handler))
    return Tokens(application, production=False, transport=transport, **options)


def packed(megabytes: int) -> bytes:
    """Very little that becomes very much."""
    return gzip.compress(b" " * (megabytes * 1_000_000))


class Counted(httpx.AsyncByteStream):
    """A body that tells how much of it was read."""

    def __init__(self, content: bytes) -> None:
        self.content, self.read = content, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.content), 1_000):
            self.read += 1_000
            yield self.content[at : at + 1_000]


async def test_a_packed_answer_is_not_unpacked() -> None:
    """None is asked for, and what comes all the same is not read: neither record nor token."""
    seen: list[str] = []
    bodies: list[Counted] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Accept-Encoding"])
        bodies.append(Counted(packed(20)))
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=bodies[-1])

    assert await asked(answer) == Bug("pds.bug.unreadable_answer", 200)
    async with tokens_of(answer) as tokens:
        assert await tokens.bearer() == Unavailable("pds.token.unreadable_answer")
    assert seen == ["identity", "identity"]
    assert [body.read for body in bodies] == [0, 0]


async def test_a_packed_page_is_read_by_its_status() -> None:
    """A gateway packs its error page: an outage all the same. "identity" is no packing."""
    page = {"Content-Encoding": "gzip"}
    assert await asked(answering(503, packed(1), **page)) == Unavailable("pds.unavailable.http_503")
    plain = {"Content-Encoding": "Identity"}
    assert isinstance(await asked(answering(200, json.dumps(PATIENT).encode(), **plain)), Found)

    async def refused(_: httpx.Request) -> httpx.Response:
        return httpx.Response(503, headers=page, stream=httpx.ByteStream(packed(1)))

    async with tokens_of(refused) as tokens:
        assert await tokens.bearer() == Unavailable("pds.token.unavailable.http_503")


async def test_an_endless_error_page_is_an_outage() -> None:
    """Too large to be PDS's, and of a status that counts by itself."""
    much = b"x" * 1_000_001
    assert await asked(answering(502, much)) == Unavailable("pds.unavailable.http_502")
    assert await asked(answering(200, much)) == Bug("pds.bug.answer_too_large", 200)


@pytest.mark.parametrize(
    ("depth", "rules"),
    [
        (50, {"pds.found", "pds.search_found"}),
        (200, {"pds.bug.nested_too_deeply"}),
        (900, {"pds.bug.nested_too_deeply", "pds.bug.unreadable_answer"}),  # by how deep we are
        (10_000, {"pds.bug.unreadable_answer", "pds.bug.nested_too_deeply"}),
    ],
)
async def test_a_record_that_is_nested_without_end_is_no_answer(
    depth: int, rules: set[str]
) -> None:
    """Neither the check of FHIR nor the JSON parser crashes the call; by search as by number."""
    opened = b'{"url":"x","extension":[' * depth + b'{"url":"x"}' + b"]}" * depth
    body = json.dumps(PATIENT)[:-1].encode() + b',"extension":[' + opened + b"]}"
    assert (await asked(answering(200, body))).rule in rules
    bundle = b'{"resourceType":"Bundle","total":1,"entry":[{"resource":' + body + b"}]}"
    transport = httpx.MockTransport(cast(Any, answering(200, bundle)))
    async with PdsClient(
        "http://pds.test", end_user_organisation="X26", profile="test", transport=transport
    ) as client:
        found = await client.search(SearchQuery("any", ()), uuid4())
    assert found.rule in rules


async def test_a_call_and_its_repeat_take_twice_the_time_out_at_most() -> None:
    """A slow token, a slow refusal, a slow new token, a slow second answer: each is in time, and
    together they end before a lease of three time-outs does."""
    slow = 0.08

    async def token(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(slow)
        return httpx.Response(200, json={"access_token": uuid4().hex, "expires_in": "599"})

    async def refuse(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(slow)
        return httpx.Response(401, content=b"")

    async def spend() -> bool:
        await asyncio.sleep(slow)
        return True

    async with tokens_of(token, timeout_seconds=0.1) as tokens:
        began = time.monotonic()
        outcome = await asked(refuse, tokens=tokens, spend=spend, timeout_seconds=0.1)
        assert time.monotonic() - began < 5 * slow
    assert outcome == Unavailable("pds.unavailable.timeout")


@pytest.mark.parametrize("ration", ["late", "never"])
async def test_the_wait_for_the_ration_is_no_time_of_pds(ration: str) -> None:
    """PDS refuses a token late and answers the repetition late, each in time. Where the ration has
    a call in time the repetition has a whole time-out; else it is not made, and PDS has answered.
    """
    calls = 0

    async def token(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"access_token": uuid4().hex, "expires_in": "599"})

    async def refuse(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.12 if calls == 1 else 0.3)
        return httpx.Response(401, content=b"")

    async def spend() -> bool:
        await asyncio.sleep(0.05 if ration == "late" else 10)
        return True

    async with tokens_of(token, timeout_seconds=0.4) as tokens:
        began = time.monotonic()
        outcome = await asked(refuse, tokens=tokens, spend=spend, timeout_seconds=0.4)
        assert time.monotonic() - began < 0.8
    if ration == "late":
        assert (outcome, calls) == (TokenRefused(), 2)
    else:
        refused = Unavailable("pds.unavailable.token_was_refused", answered=True)
        assert (outcome, calls) == (refused, 1)
