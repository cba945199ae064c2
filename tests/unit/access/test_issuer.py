"""The issuer's keys: where they come from, how long they hold, and what happens without them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from halyard.errors import ConfigurationError
from halyard.issuer import MAX_DOCUMENT, Issuer
from halyard.problems import HttpProblem
from halyard.settings_access import AccessSettings
from tests.support.access import ISSUER, key, public
from tests.support.waiting import aeventually


async def named(issuer: Issuer, kid: str) -> bool:
    """Whether it has a key of this name."""
    return kid in {one.kid for one in await issuer.keys_for(kid)}


DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
JWKS = f"{ISSUER}/keys"


@dataclass(slots=True)
class World:
    """An issuer on the far side, and the time."""

    answers: dict[str, httpx.Response | Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    now: float = 1_000.0
    gate: asyncio.Event | None = None

    def publish(self, *names: str) -> None:
        """These keys, at the usual places."""
        self.answers[DISCOVERY] = httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": JWKS})
        self.answers[JWKS] = httpx.Response(200, json=public(*(key(one) for one in names)))

    def go_away(self) -> None:
        """Nothing answers."""
        self.answers = {}

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """One request."""
        self.asked.append(str(request.url))
        if self.gate is not None:
            await self.gate.wait()
        found = self.answers.get(str(request.url), httpx.ConnectError("away"))
        if isinstance(found, Exception):
            raise found
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    def issuer(self, *, production: bool = True, **access: Any) -> Issuer:
        """The hub's side."""
        return Issuer(
            AccessSettings(issuer=ISSUER, **access),
            production=production,
            monotonic=lambda: self.now,
            transport=httpx.MockTransport(self.answer),
        )


@pytest.fixture
def world() -> World:
    """With one key."""
    made = World()
    made.publish("one")
    return made


async def kids(issuer: Issuer) -> list[str | None]:
    """The keys there are."""
    return [one.kid for one in await issuer.keys()]


async def settled(issuer: Issuer) -> None:
    """What runs in the background is done."""
    if issuer._fetching is not None:
        await issuer._fetching


async def test_keys_are_where_discovery_says_and_are_asked_for_once(world: World) -> None:
    """Many who come at a time wait for one fetch; later ones for none."""
    issuer = world.issuer()
    found = await asyncio.gather(*(kids(issuer) for _ in range(20)))
    assert found == [["one"]] * 20
    assert world.asked == [DISCOVERY, JWKS]
    await kids(issuer)
    assert len(world.asked) == 2


async def test_a_url_or_a_file_stands_instead_of_discovery(world: World, tmp_path: Path) -> None:
    """As the settings say."""
    assert await kids(world.issuer(issuer_keys_url=JWKS)) == ["one"]
    assert world.asked == [JWKS]
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(public(key("of-the-file"))))
    assert await kids(world.issuer(issuer_keys_file=file)) == ["of-the-file"]
    assert world.asked == [JWKS]


async def test_old_keys_are_renewed_in_the_background(world: World) -> None:
    """Nobody waits for it; a change is noticed by the generation."""
    issuer = world.issuer(keys_seconds=300)
    await issuer.keys()
    assert issuer.generation == 1
    world.publish("two")
    world.now += 301
    world.gate = asyncio.Event()
    assert await kids(issuer) == ["one"]
    world.gate.set()
    await settled(issuer)
    assert await kids(issuer) == ["two"]
    assert issuer.generation == 2
    world.now += 301
    await issuer.keys()
    await settled(issuer)
    assert issuer.generation == 2  # the same keys again


async def test_an_unknown_kid_asks_again_at_most_once_in_a_while(world: World) -> None:
    """A rotated key is found at once; invented kids do not make the hub ask and ask."""
    issuer = world.issuer(unknown_key_seconds=30)
    await issuer.keys()
    world.publish("one", "two")
    assert await named(issuer, "two")
    fetches = len(world.asked)
    for invented in range(50):
        assert not await named(issuer, f"invented-{invented}")
    assert len(world.asked) == fetches
    world.now += 30
    await asyncio.gather(*(named(issuer, f"invented-{one}") for one in range(50)))
    assert len(world.asked) == fetches + 2


async def test_the_last_good_keys_hold_for_the_grace_and_not_longer(world: World) -> None:
    """While the issuer is away: then 503, and good again with the issuer."""
    issuer = world.issuer(keys_seconds=300, keys_grace_seconds=600)
    await issuer.keys()
    world.go_away()
    world.now += 899
    assert await kids(issuer) == ["one"]
    await settled(issuer)
    world.now += 2
    with pytest.raises(HttpProblem) as caught:
        await issuer.keys()
    assert (caught.value.status_code, caught.value.rule) == (503, "token.keys_unavailable")
    world.publish("one")
    world.now += 5
    assert await kids(issuer) == ["one"]


async def test_an_issuer_that_never_answered_lets_nobody_in(world: World) -> None:
    """503, and it is not asked again for each who comes."""
    world.go_away()
    issuer = world.issuer()
    for _ in range(10):
        with pytest.raises(HttpProblem) as caught:
            await issuer.keys()
        assert caught.value.status_code == 503
    assert world.asked == [DISCOVERY]


async def test_an_issuer_that_hangs_holds_nobody_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks is answered from what is known; what hangs goes on in the background."""
    monkeypatch.setattr("halyard.issuer._PATIENCE_SECONDS", 0.05)
    issuer = world.issuer()
    await issuer.keys()
    world.publish("one", "two")
    world.gate = asyncio.Event()
    async with asyncio.timeout(5):
        found = await asyncio.gather(*(named(issuer, "two") for _ in range(20)))
    assert found == [False] * 20
    world.gate.set()
    await settled(issuer)
    assert await named(issuer, "two")


BAD: dict[str, dict[str, httpx.Response | Exception]] = {
    "another issuer": {
        DISCOVERY: httpx.Response(200, json={"issuer": "https://x", "jwks_uri": JWKS})
    },
    "no jwks_uri": {DISCOVERY: httpx.Response(200, json={"issuer": ISSUER})},
    "jwks_uri in the clear": {
        DISCOVERY: httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": "http://issuer.test/k"}),
        "http://issuer.test/k": httpx.Response(200, json=public(key("one"))),
    },
    "jwks_uri is a file": {
        DISCOVERY: httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"})
    },
    "a redirect": {JWKS: httpx.Response(302, headers={"Location": f"{ISSUER}/else"})},
    "too large": {JWKS: httpx.Response(200, content=b" " * (MAX_DOCUMENT + 1))},
    "no JSON": {JWKS: httpx.Response(200, content=b"<html>")},
    "deep JSON": {JWKS: httpx.Response(200, content=b"[" * 100_000)},
    "no keys": {JWKS: httpx.Response(200, json={"keys": []})},
    "a shared key": {JWKS: httpx.Response(200, json={"keys": [{"kty": "oct", "k": "AA"}]})},
    "an error": {JWKS: httpx.Response(500)},
    "a broken line": {JWKS: httpx.ReadError("cut")},
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_good_answer_leaves_the_good_keys(world: World, name: str) -> None:
    """And alone it is no keys at all: redirects are not followed, in production nothing is asked
    in the clear.
    """
    issuer = world.issuer(keys_seconds=300)
    await issuer.keys()
    world.answers |= BAD[name]
    world.now += 301
    await issuer.keys()
    await settled(issuer)
    assert await kids(issuer) == ["one"]
    with pytest.raises(HttpProblem):
        await world.issuer().keys()
    assert f"{ISSUER}/else" not in world.asked
    assert "http://issuer.test/k" not in world.asked


@pytest.mark.parametrize(
    "access",
    [
        {"issuer": "http://issuer.test"},
        {"issuer": "issuer.test"},
        {"issuer": "https://user@issuer.test"},
        {"issuer": ISSUER, "issuer_keys_url": "http://issuer.test/keys"},
    ],
)
def test_production_asks_over_tls_alone(access: dict[str, str]) -> None:
    """Anything else does not start."""
    with pytest.raises(ConfigurationError, match="HALYARD_ACCESS__ISSUER"):
        Issuer(AccessSettings(**access), production=True)


async def test_the_watch_keeps_the_keys_fresh_until_it_is_stopped(world: World) -> None:
    """It fetches at its start, and ends at once when told."""
    issuer = world.issuer()
    stopping = asyncio.Event()
    watching = asyncio.create_task(issuer.watch(stopping))
    await aeventually(lambda: issuer.generation == 1, why="the keys are there")
    stopping.set()
    async with asyncio.timeout(5):
        await watching
    assert await kids(issuer) == ["one"]
