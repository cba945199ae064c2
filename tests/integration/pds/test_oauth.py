"""The hub as a registered application, against a token endpoint that checks every claim."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from connectors.pds.client import PdsClient
from connectors.pds.outcomes import Found, TokenRefused, Unavailable
from connectors.pds.tokens import Tokens
from halyard.settings import PdsSettings
from sandbox.pds.server import PdsThread
from sandbox.pds.settings import Faults
from stores import trace_requests
from streams.tracer.clients import Clients
from streams.tracer.tracer import Tracer, ration_of
from tests.support import identity as make
from tests.support.identity import CHILD, HOSPITAL
from tests.support.identity_world import World
from tests.support.services import Database
from tests.support.waiting import aeventually

API_KEY = "an-app"  # pragma: allowlist secret
NUMBER = CHILD.nhs_number or ""


def tokens_of(pds: PdsThread, key_file: Path, **changes: Any) -> Tokens:
    """The application's tokens, by settings as an operator writes them."""
    whole = {
        "token_url": pds.token_url,
        "api_key": API_KEY,
        "private_key_file": key_file,
        "key_id": "test-1",
    }
    made = Tokens.of(PdsSettings(**{**whole, **changes}), production=False)
    assert made is not None
    return made


@pytest.fixture
async def tokens(oauth: PdsThread, key_file: Path) -> AsyncIterator[Tokens]:
    """The right application's tokens."""
    async with tokens_of(oauth, key_file) as made:
        yield made


def client_of(pds: PdsThread, tokens: Tokens, **options: Any) -> PdsClient:
    """A client that asks for a hospital."""
    named = {"end_user_organisation": "RX1", "profile": "test", **options}
    return PdsClient(pds.url, tokens=tokens, **named)


async def test_one_token_for_all_clients_of_a_process(oauth: PdsThread, tokens: Tokens) -> None:
    """Forty calls at once, for two organisations: one request for a token, every call answered."""
    one, two = client_of(oauth, tokens), client_of(oauth, tokens, end_user_organisation="RX2")
    async with one, two:
        found = await asyncio.gather(*(client.get(NUMBER, uuid4()) for client in [one, two] * 20))
    assert all(isinstance(outcome, Found) for outcome in found)
    assert oauth.pds.token_calls() == {"requested": 1, "issued": 1}
    assert oauth.pds.calls()["received"] == 40


async def test_a_token_that_ended_early_costs_one_repeat_of_each_call(
    oauth: PdsThread, tokens: Tokens
) -> None:
    """PDS has ended the token: ten calls are refused, one new token is had, and each is made again
    under its own id, at the ration's cost."""
    spent = []

    async def spend() -> bool:
        spent.append(1)
        return True

    async with client_of(oauth, tokens, spend=spend) as client:
        await client.get(NUMBER, uuid4())
        oauth.pds.tokens.expire()
        found = await asyncio.gather(*(client.get(NUMBER, uuid4()) for _ in range(10)))
    assert all(isinstance(outcome, Found) for outcome in found)
    assert oauth.pds.token_calls()["requested"] == 2
    calls = oauth.pds.calls()
    assert (calls["calls"], calls["repeated"], calls["reused"]) == (11, 10, 0)
    assert len(spent) == 10


async def test_a_call_is_repeated_once_and_no_more(oauth: PdsThread, tokens: Tokens) -> None:
    """PDS refuses the new token too: the outcome says so after two calls."""
    oauth.pds.faults = Faults(status=401)
    async with client_of(oauth, tokens) as client:
        assert await client.get(NUMBER, uuid4()) == TokenRefused()
    calls = oauth.pds.calls()
    assert (calls["received"], calls["calls"], calls["repeated"]) == (2, 1, 1)
    assert oauth.pds.token_calls()["requested"] == 2


async def test_without_ration_a_refused_call_is_not_repeated(
    oauth: PdsThread, tokens: Tokens
) -> None:
    """The repeat is a call: if the ration has none left, it waits in the queue like others."""

    async def spend() -> bool:
        return False

    oauth.pds.faults = Faults(status=401, times=1)
    async with client_of(oauth, tokens, spend=spend) as client:
        outcome = await client.get(NUMBER, uuid4())
    assert outcome == Unavailable("pds.unavailable.token_was_refused", answered=True)
    assert oauth.pds.calls()["received"] == 1


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"api_key": "somebody-else"}, "pds.token.refused.iss"),  # pragma: allowlist secret
        ({"key_id": "another"}, "pds.token.refused.kid"),
    ],
)
async def test_what_is_registered_wrongly_is_named(
    oauth: PdsThread, key_file: Path, changes: dict[str, Any], rule: str
) -> None:
    """An API key or key id that nobody registered: the rule says which, and PDS is not asked."""
    async with tokens_of(oauth, key_file, **changes) as tokens, client_of(oauth, tokens) as client:
        assert await client.get(NUMBER, uuid4()) == TokenRefused(rule=rule)
    assert oauth.pds.calls()["received"] == 0


async def test_a_wrong_address_is_refused_by_name(oauth: PdsThread, key_file: Path) -> None:
    """`aud` is the address letter by letter: one that leads to the same place is another."""
    async with tokens_of(oauth, key_file, token_url=f"{oauth.token_url}?x=1") as tokens:
        outcome = await tokens.bearer()
    assert outcome == TokenRefused(rule="pds.token.refused.aud")


async def test_while_no_token_can_be_had_nothing_is_lost(
    database: Database, oauth: PdsThread, tokens: Tokens
) -> None:
    """The token endpoint is away: the arrival waits, PDS is not asked, and what waited is verified
    when a token can be had again."""
    world = World(database, oauth)
    await world.open()
    oauth.pds.faults = Faults(routes={"token": Faults(status=503)})
    try:
        async with client_of(oauth, tokens) as client:
            tracer = Tracer(
                world.pool,
                world.settings.pds,
                lambda _: client,
                world.new_tracer()._releases,
            )
            arrival = make.attendance()
            await world.take(arrival)
            (request,) = await aeventually(tracer.lease)
            await tracer.trace(request)
            assert await world.value("select state from trace_requests") == "queued"
            assert await world.value("select failures from pds_ration") == 1
            assert oauth.pds.calls()["received"] == 0
            world.fault()
            await world.pass_time(10)
            tokens._failed_at -= 10
            (again,) = await aeventually(tracer.lease)
            assert again.request_ids == request.request_ids
            await tracer.trace(again)
        assert [state for state, _ in await world.states(arrival)] == ["verified"]
    finally:
        await world.close()


async def test_a_probe_whose_token_ended_is_repeated_at_once(
    database: Database, oauth: PdsThread, key_file: Path
) -> None:
    """The application's token ended during an outage. The one request that goes to see is answered
    401: PDS answers, so the same call is made again with a new token, and does not wait for the
    ration that it has closed for the others itself."""
    world = World(database, oauth, breaker_seconds=60)
    await world.open()
    signing = PdsSettings(
        base_url=oauth.url,
        token_url=oauth.token_url,
        api_key=API_KEY,
        private_key_file=key_file,
        key_id="test-1",
        breaker_seconds=60,
    )
    settings = world.settings.model_copy(update={"pds": signing})
    clients = Clients(settings, make.directory(), world.pool, ration_of(signing))
    tracer = Tracer(world.pool, signing, clients.client_for, world.new_tracer()._releases)
    try:
        await clients.client_for(HOSPITAL).get(NUMBER, uuid4())
        oauth.pds.tokens.expire()
        await world.rows(
            "update pds_ration set failures = 3, "
            "breaker_until = clock_timestamp() - interval '1 second'"
        )
        arrival = make.attendance()
        await world.take(arrival)
        (probe,) = await aeventually(tracer.lease)
        assert await tracer.lease() == []  # closed to others until it is answered
        async with asyncio.timeout(5):
            await tracer.trace(probe)
        assert [state for state, _ in await world.states(arrival)] == ["verified"]
        assert await world.value("select failures from pds_ration") == 0
    finally:
        await clients.aclose()
        await world.close()


async def test_a_repeated_call_waits_for_the_ration_and_for_a_429(
    database: Database, oauth: PdsThread
) -> None:
    """The breaker does not hold who was let through already; a spent ration and PDS's own "too
    many requests" do."""
    world = World(database, oauth, calls_per_second=5, breaker_seconds=60)
    await world.open()
    ration = ration_of(world.settings.pds)
    try:
        await trace_requests.failed(world.pool, ration, at_once=True)
        await world.rows("update pds_ration set tokens = 1, refilled_at = clock_timestamp()")
        assert not await trace_requests.take_token(world.pool, ration)
        assert await trace_requests.take_token(world.pool, ration, let_through=True)
        assert not await trace_requests.take_token(world.pool, ration, let_through=True)
        await trace_requests.slower(world.pool, ration, pause_seconds=60)
        await world.rows("update pds_ration set tokens = 1, refilled_at = clock_timestamp()")
        assert not await trace_requests.take_token(world.pool, ration, let_through=True)
    finally:
        await world.close()


async def test_a_refused_token_without_ration_is_no_outage(
    database: Database, oauth: PdsThread, tokens: Tokens
) -> None:
    """PDS answered 401 and the ration had nothing left for the repetition: the question goes back,
    and the breaker is no nearer to opening."""
    world = World(database, oauth)
    await world.open()

    async def spend() -> bool:
        await asyncio.sleep(30)
        return True

    named = {"spend": spend, "timeout_seconds": 0.5}
    try:
        async with client_of(oauth, tokens, **named) as client:
            tracer = Tracer(
                world.pool, world.settings.pds, lambda _: client, world.new_tracer()._releases
            )
            await client.get(NUMBER, uuid4())
            oauth.pds.tokens.expire()
            arrival = make.attendance()
            await world.take(arrival)
            (request,) = await aeventually(tracer.lease)
            await tracer.trace(request)
            assert await world.value("select state from trace_requests") == "queued"
            assert await world.value("select failures from pds_ration") == 0
            await world.pass_time(10)
            (again,) = await aeventually(tracer.lease)
            await tracer.trace(again)
        assert [state for state, _ in await world.states(arrival)] == ["verified"]
    finally:
        await world.close()
