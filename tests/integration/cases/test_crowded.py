"""A notification that lists very much, and what very many notifications share."""

from __future__ import annotations

from schemas.deaths import DeathVerified, Fact
from stores.proposals import MOST_SHARING, PROPOSED
from streams.cases.duplicates import profile_of, tokens
from streams.cases.verified import notification_of
from tests.support.cases import KEYS, OTHER_HOSPITAL, Hub, case_id, death


def tokens_of(event: DeathVerified) -> list[str]:
    """The tokens under which a notification is found."""
    return list(tokens(profile_of(notification_of(event, case_id(event))), KEYS))


async def crowd(hub: Hub, shared: list[str]) -> None:
    """So many cases that share these tokens that they say nothing."""
    await hub.query(
        "insert into case_tokens (token, case_id) "
        "select token, gen_random_uuid() from unnest(%(tokens)s::text[]) as token, "
        "generate_series(1, %(many)s) returning token",
        tokens=shared,
        many=MOST_SHARING,
    )


async def test_what_very_many_share_finds_nobody_and_the_rest_still_does(hub: Hub) -> None:
    """The search of a notification is bounded; one token that few share is enough for a pair."""
    one, other = death(), death(organisation=OTHER_HOSPITAL)
    *most, last = tokens_of(one)
    assert set(most) & set(tokens_of(other))
    await crowd(hub, most)
    await hub.take(one)
    await hub.take(other)
    assert [found.state for found in await hub.proposals(case_id(other))] == [PROPOSED]
    await crowd(hub, [last])
    third = death(reference="N-3", organisation=OTHER_HOSPITAL)
    await hub.take(third)
    assert await hub.proposals(case_id(third)) == []
    assert await hub.answer(third) == "accepted"


async def test_a_notification_with_very_many_names_is_taken(hub: Hub) -> None:
    """It once took 41,007 locks, which PostgreSQL has for nobody: every case stood still."""
    rows = tuple(
        Fact(f"alias.{part}", row=row, value=f"{part}{'abcdefghij'[row % 10]}{'x' * (row // 10)}")
        for row in range(1, 201)
        for part in ("family", "given")
    )
    many = [death(reference=f"N-{number}", rows=rows) for number in range(5)]
    await hub.take(*many)
    for one in many:
        assert await hub.answer(one) == "accepted"
    found = await hub.query("select count(*) as n from case_tokens group by case_id")
    assert all(row["n"] <= 100 for row in found)
