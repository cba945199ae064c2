"""What a person resolves is released and flows on; what PDS does not bear out changes nothing."""

from __future__ import annotations

from dataclasses import replace

from sandbox.pds.people import Person
from tests.support import identity as make
from tests.support.death_identity import death
from tests.support.identity import CHILD
from tests.support.identity_world import World, person_of
from tests.support.worklist import decide, ended, entry_of, order

SLIP = replace(CHILD, birth_date="2016-03-14")  # the sender's own mistake
NUMBER = CHILD.nhs_number or ""
KNOWN = make.KEYS.person(NUMBER)


async def test_a_flag_that_a_person_resolved_is_held_and_answered(world: World) -> None:
    """The birth date was mistyped: the entry says which fields agree; the clerk resolves it, says
    that the date was wrong, and the flag is held; the entry ends with who did it.
    """
    flag = make.flag(SLIP)
    await world.take(flag)
    await world.trace_all()
    entry = await entry_of(world, flag)
    assert entry.rule.startswith("pds.get.birth_date_")
    assert entry.claim is not None
    assert entry.claim["birth_date"] == "2016-03-14"
    (candidate,) = entry.candidates
    assert candidate["fields"] == {
        "number": "agrees",
        "birth_date": "nearly",
        "family": "agrees",
        "given": "agrees",
        "gender": "agrees",
    }
    done = await decide(world, flag, "resolve", number=NUMBER, despite=("birth_date",))
    assert (done.state, done.outcome, done.number) == ("done", "resolved-by-person", None)
    assert await world.states(flag) == [("verified", "resolved-by-person")]
    assert await world.answers() == {1: "CPR06"}
    after = await entry_of(world, flag)
    assert after.closed_rule == "resolved-by-person"
    assert (after.ended_by, after.ended_name, after.claim) == ("user:pat", "Pat Clerk", None)
    assert await world.value("select flagged from identities") is True
    (said,) = world.said()
    assert (said.status, said.rule, said.person) == ("VERIFIED", "resolved-by-person", KNOWN)


async def test_what_contradicts_is_confirmed_field_by_field(world: World) -> None:
    """Without a word on the birth date nothing is released, and which field differs is not told."""
    flag = make.flag(SLIP)
    await world.take(flag)
    await world.trace_all()
    for despite in ((), ("given",)):
        refused = await decide(world, flag, "resolve", number=NUMBER, despite=despite)
        assert (refused.state, refused.outcome) == ("refused", "resolution.contradicted")
        assert refused.evidence is None
        assert refused.number is None
    assert world.said() == []
    assert (await entry_of(world, flag)).closed_at is None


async def test_an_arrival_that_a_person_resolved_raises_the_alert(world: World) -> None:
    """A child of whom given name and birth date are known is identified on the ward: every event
    of the visit that says the same of them is asserted of the flagged child.
    """
    unknown = replace(CHILD, nhs_number=None, family="Unknown")
    first = make.attendance(unknown, message_id="a")
    second = make.attendance(unknown, message_id="b")
    await world.take(make.flag())
    await world.trace_all()
    await world.take(first, second)
    await world.trace_all()
    before = len(world.said())
    assert [state for state, _ in await world.states(first, second)] == ["unresolved"] * 2
    done = await decide(world, first, "resolve", number=NUMBER)
    assert done.state == "done", done.outcome
    assert await world.states(first, second) == [
        ("verified", "resolved-by-person"),
        ("verified", "key-evidence"),
    ]
    assert [one.person for one in world.said()[before:]] == [KNOWN, KNOWN]
    assert await world.value("select count(*) from worklist where closed_at is null") == 0


async def test_a_superseded_number_resolves_to_its_successor(world: World) -> None:
    """The flag is held on the successor, and the answer says to take the number over."""
    old = make.number(7)
    world.knows(person_of(replace(CHILD, nhs_number=old), superseded_by=NUMBER))
    flag = make.flag(replace(CHILD, nhs_number=None, family="Elsewise"))
    await world.take(flag)
    await world.trace_all()
    done = await decide(world, flag, "resolve", number=old, despite=("family",))
    assert (done.state, done.outcome) == ("done", "resolved-by-person.superseded")
    assert await world.answers() == {1: "CPR05"}
    assert world.said()[-1].person == KNOWN


async def test_what_pds_does_not_have_stays_on_the_worklist(world: World) -> None:
    """Nobody has the number, or it was invalidated: nothing is linked, and the person is told."""
    gone = make.number(8)
    world.knows(person_of(replace(CHILD, nhs_number=gone), invalidated=True))
    flag = make.flag(SLIP)
    await world.take(flag)
    await world.trace_all()
    nobody = await decide(world, flag, "resolve", number=make.number(9))
    assert (nobody.state, nobody.outcome) == ("refused", "pds.not_found")
    invalidated = await decide(world, flag, "resolve", number=gone)
    assert (invalidated.state, invalidated.outcome) == ("refused", "pds.invalidated")
    assert world.said() == []
    assert (await entry_of(world, flag)).closed_at is None


async def test_a_restricted_record_goes_the_restricted_path(world: World) -> None:
    """It is no candidate, and reads like a number of quite another person; resolved, the flag is
    held on the restricted path, and no comparison is kept.
    """
    world.knows(person_of(CHILD, restricted=True))
    wrong = replace(CHILD, nhs_number=make.number(5))
    other = Person(
        nhs_number=make.number(5), family="Other", given=("Kim",), birth_date="2009-09-09"
    )
    world.knows(other)
    restricted, stranger = make.flag(SLIP), make.flag(wrong, line=2, local_id="C2")
    await world.take(restricted, stranger)
    await world.trace_all()
    for one in (restricted, stranger):
        entry = await entry_of(world, one)
        assert (entry.shown_rule, list(entry.candidates)) == ("pds.not_confirmed", [])
    assert await world.answers() == {1: "CPR03", 2: "CPR03"}
    done = await decide(world, restricted, "resolve", number=NUMBER, despite=("birth_date",))
    assert (done.state, done.evidence) == ("done", None)
    assert (await world.answers())[1] == "CPR02"
    assert await world.value("select restricted from identities") is True


async def test_a_restricted_record_without_a_contact_stays_there(world: World) -> None:
    """Nobody may be told: the flag is not held, and the decision says so."""
    world.knows(person_of(CHILD, restricted=True))
    flag = make.flag(SLIP, authority=make.LONELY_AUTHORITY)
    await world.take(flag)
    await world.trace_all()
    done = await decide(world, flag, "resolve", number=NUMBER, despite=("birth_date",))
    assert (done.state, done.outcome) == ("refused", "flag-restricted-without-contact")
    assert await world.answers() == {1: "CPR02"}
    assert world.said() == []


async def test_c09_a_wrong_resolution_is_taken_back_with_a_revision(world: World) -> None:
    """Retraction and unresolved again; what PDS is asked next is a decision of its own."""
    arrival = make.attendance(SLIP)
    await world.take(arrival)
    await world.trace_all()
    await decide(world, arrival, "resolve", number=NUMBER, despite=("birth_date",))
    undone = await decide(world, arrival, "undo")
    assert (undone.state, undone.outcome) == ("done", "resolution-withdrawn")
    first, second = world.said()
    assert (first.assertion, second.assertion) == ("ASSERTED", "RETRACTED")
    assert second.revision == first.revision + 1
    assert world.holding()[arrival.event_id] is None
    entry = await entry_of(world, arrival)
    assert (entry.closed_at, entry.rule) == (None, "resolution-withdrawn")
    again = await decide(world, arrival, "resolve", number=NUMBER, despite=("birth_date",))
    assert again.state == "done"
    assert world.said()[-1].revision > world.said()[-2].revision


async def test_a_death_that_a_person_resolved_is_told_with_its_number(world: World) -> None:
    """The case hears the number with the next revision."""
    told = death(SLIP)
    await world.take(told)
    await world.trace_all()
    done = await decide(world, told, "resolve", number=NUMBER, despite=("birth_date",))
    assert done.state == "done"
    assert await world.states(told) == [("verified", "resolved-by-person")]


async def test_a_rejected_entry_ends_and_the_upload_says_so(world: World) -> None:
    """A test record: nobody is named, the entry ends, and the line's answer says why."""
    flag = make.flag(SLIP)
    await world.take(flag)
    await world.trace_all()
    done = await decide(world, flag, "reject", code="test-record")
    assert (done.state, done.outcome) == ("done", "rejected-by-person")
    entry = await entry_of(world, flag)
    assert (entry.closed_rule, entry.ended_reason) == (
        "rejected-by-person",
        "checked with the ward",
    )
    detail = await world.value("select detail from upload_answers")
    assert "test record" in detail
    assert world.said() == []
    again = await order(world, flag, "reject", code="nobody")
    await world.new_resolver().work()
    assert (await ended(world, again)).outcome == "resolution.overtaken"
