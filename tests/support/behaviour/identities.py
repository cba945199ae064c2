"""Stories: who it is; restricted, hidden, late and odd."""

from __future__ import annotations

from tests.support.behaviour.story import (
    Alert,
    Flag,
    People,
    Step,
    Story,
    Told,
)
from tests.support.behaviour.telling import story, tells

# --- who it is ---------------------------------------------------------------------------------


@tells
def _no_number(people: People) -> Story:
    child = people.child()
    return story((Flag(child),), (Step("A04", child, numbers=()),), (Alert(child),))


@tells
def _number_with_spaces(people: People) -> Story:
    child = people.child()
    spaced = f"{child.number[:3]} {child.number[3:6]} {child.number[6:]}"
    return story((Flag(child),), (Step("A04", child, numbers=(spaced,)),), (Alert(child),))


@tells
def _several_numbers(people: People) -> Story:
    child, other = people.child(), people.child("Alex", born="2013-01-02")
    step = Step("A04", child, numbers=(other.number, child.number))
    return story((Flag(child),), (step,), (Alert(child),), other)


@tells
def _two_children_without_an_own_id(people: People) -> Story:
    one, two = people.child(), people.child("Alex", born="2013-01-02")
    steps = tuple(
        Step("A04", child, visit=visit, numbers=("9999999999",), local="UNKNOWN", at=at)
        for child, visit, at in ((one, "V1", -30), (two, "V2", -20))
    )
    return story((Flag(one), Flag(two)), steps, (Alert(one), Alert(two)))


@tells
def _somebody_elses_number(people: People) -> Story:
    flagged, other = people.child(), people.child("Alex", born="2013-01-02")
    step = Step("A04", other, numbers=(flagged.number,))
    return story((Flag(flagged),), (step,))


@tells
def _twins_of_whom_one_is_flagged(people: People) -> Story:
    robin = people.child()
    wren = people.sibling(robin, "Wren")
    return story((Flag(robin),), (Step("A04", wren), Step("A04", robin, visit="V2")),
                  (Alert(robin),), wren)  # fmt: skip


@tells
def _number_that_comes_later(people: People) -> Story:
    child = people.child()
    steps = (Step("A04", child, numbers=(), anonymous=True), Step("A08", child, at=-20))
    return story((Flag(child),), steps, (Alert(child, arrived=-30),))


@tells
def _number_that_comes_with_the_record(people: People) -> Story:
    child = people.child()
    steps = (
        Step("A04", child, numbers=(), anonymous=True),
        Step("A31", child, visit=None, at=-20),
    )
    return story((Flag(child),), steps, (Alert(child, arrived=-30),))


@tells
def _unidentified_patient(people: People) -> Story:
    nobody = people.child()
    step = Step("A04", nobody, numbers=(), anonymous=True)
    return story((), (step,), (), unknown=(nobody,))


@tells
def _merge_of_two_visits(people: People) -> Story:
    child = people.child()
    steps = (
        Step("A04", child, at=-60, local=f"Q{child.local}"),
        Told(child),
        Step("A04", child, visit="V2"),
        Step("A40", child, visit=None, at=-5, retired=f"Q{child.local}"),
    )
    return story((Flag(child),), steps, (Alert(child),))


@tells
def _merge_that_says_who_it_is(people: People) -> Story:
    child = people.child()
    steps = (
        Step("A04", child, local=f"T{child.local}", numbers=(), anonymous=True),
        Step("A40", child, visit=None, at=-5, retired=f"T{child.local}"),
    )
    return story((Flag(child),), steps, (Alert(child, arrived=-30),))


@tells
def _merge_that_overtook_the_arrival(people: People) -> Story:
    child = people.child()
    steps = (
        Step("A04", child, at=-120),
        Told(child),
        Step("A40", child, visit=None, at=-5, retired=f"T{child.local}"),
        Step(
            "A04",
            child,
            visit="V2",
            local=f"T{child.local}",
            numbers=(),
            anonymous=True,
            reason="Worse",
        ),
    )
    return story((Flag(child),), steps, (Alert(child, reason="Worse", arrived=-30),))


# --- restricted, hidden, late, odd -------------------------------------------------------------


@tells
def _restricted_child(people: People) -> Story:
    child = people.child(restricted=True)
    told = Alert(child, restricted=True, hospital=None)
    return story((Flag(child),), (Step("A04", child),), (told,))


@tells
def _hidden_place(people: People) -> Story:
    child = people.child()
    told = Alert(child, shielded=True)
    return story((Flag(child),), (Step("A04", child, shielded=True),), (told,))


@tells
def _arrival_told_late(people: People) -> Story:
    child = people.child()
    step = Step("A04", child, at=-30 * 60)
    return story((Flag(child),), (step,), (Alert(child, late=True, arrived=-30 * 60),))


@tells
def _flag_that_comes_after_the_arrival(people: People) -> Story:
    child = people.child()
    return story((), (Step("A04", child), Flag(child)), (Alert(child),))


@tells
def _second_flag_after_the_alert(people: People) -> Story:
    child = people.child()
    steps = (Step("A04", child), Told(child), Flag(child, "LAC"))
    return story((Flag(child),), steps, (Alert(child, plans=frozenset({"CPP", "LAC"})),))


@tells
def _flag_that_was_an_error(people: People) -> Story:
    child = people.child()
    steps = (Step("A04", child), Told(child), Flag(child, delete=0))
    told = Alert(child, live=False, plans=frozenset())
    return story((Flag(child),), steps, (told,))


@tells
def _times_that_cannot_be_read(people: People) -> Story:
    child = people.child()
    return story((Flag(child),), (Step("A04", child, times=False),), (Alert(child),))


@tells
def _silent_adult(people: People) -> Story:
    return story((), (Step("A04", people.woman()),))
