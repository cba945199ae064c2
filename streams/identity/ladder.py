"""The identity ladder for attendances: a table of rules, tried in order; the first that speaks
decides, and its name travels with the outcome ("why").

Pure: `Facts` in, `Decision` out. Where PDS has answered, `streams.identity.answers` decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from halyard.nhs_number import NhsNumberOutcome
from schemas.events import NhsNumberStatus
from stores.claims import ClaimState
from stores.identities import KnownPerson
from streams.identity.evidence import Evidence, Standing

FLAGGED: Final = 1
DEATH: Final = 2
FLAG: Final = 3
SEARCH: Final = 4
CHILD: Final = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the ladder looks at.

    `by_number`: the known person with the event's number; `recent`: PDS verified them lately
    enough. `flagged`: known people with a plan who share number or family name and birth date.
    `visit`: whom the visit's events are asserted of, `visit_state` how surely, `visit_key`: one of
    them came under this event's key, `visit_open`: one waits for a trace, `visit_lacks`: the visit
    or key has an unresolved event to which this one brings a new number (or a new search).
    `candidate`: of the key's provisional alert; `shared_key`: the key's local id is a placeholder.
    `parked`: the key has a trace in flight. `number_asked`: an open claim of key or visit has the
    same number already. `birth`: a newborn's message, told of `mother`: whom all that is verified
    under the event's key is of.
    """

    evidence: Evidence
    used: bool
    arrival: bool
    child: bool
    by_number: Standing | None = None
    recent: bool = False
    flagged: tuple[Standing, ...] = ()
    visit: Standing | None = None
    visit_state: ClaimState | None = None
    visit_key: bool = True
    visit_open: bool = False
    visit_lacks: bool = False
    candidate: Standing | None = None
    shared_key: bool = False
    parked: bool = False
    number_asked: bool = False
    birth: bool = False
    mother: Standing | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with an event. `priority`: the trace it asks for, None if it asks for none."""

    state: ClaimState
    rule: str
    person: KnownPerson | None = None
    priority: int | None = None
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the ladder. `says` gives None where the rule does not apply."""

    name: str
    outcome: str
    when: str
    says: Callable[[Facts], Decision | None]


def decide(facts: Facts) -> Decision:
    """The first rule that speaks; the last always does."""
    for rule in RULES:
        decision = rule.says(facts)
        if decision is not None:
            return decision
    return Decision(ClaimState.NOT_TRACED, RULES[-1].name)


def indicator(state: ClaimState, evidence: Evidence) -> NhsNumberStatus:
    """NHS number status of an outcome that PDS has no part in."""
    if state is ClaimState.VERIFIED:
        return NhsNumberStatus.VERIFIED
    if state.open:
        return NhsNumberStatus.IN_PROGRESS
    if state is ClaimState.UNRESOLVED:
        return NhsNumberStatus.TRACE_REQUIRED
    present = evidence.number is not NhsNumberOutcome.ABSENT
    return NhsNumberStatus.NOT_TRACED if present else NhsNumberStatus.NOT_PRESENT


def _not_used(facts: Facts) -> Decision | None:
    return None if facts.used else Decision(ClaimState.NOT_USED, "not-used")


def _local_index(facts: Facts) -> Decision | None:
    found = facts.by_number
    if found is None or not facts.recent or not found.full:
        return None
    return Decision(ClaimState.VERIFIED, "local-index", found.person, basis="local-index")


def _of_visit(facts: Facts) -> Standing | None:
    # Two sites may count their visits alike, and twins may share one: another local id needs
    # evidence of its own; of a birth the mother's number, which is all that is told
    visit = facts.visit
    if visit is None or not visit.uncontradicted:
        return None
    own = facts.visit_key or visit.supported or (facts.birth and visit.number)
    return visit if own else None


def _same_visit(facts: Facts) -> Decision | None:
    visit = _of_visit(facts)
    if visit is None or facts.visit_state is not ClaimState.VERIFIED:
        return None
    return Decision(ClaimState.VERIFIED, "same-visit", visit.person, basis="same-visit")


def _mother_key(facts: Facts) -> Decision | None:
    mother = facts.mother
    if mother is None or not mother.uncontradicted:
        return None
    return Decision(ClaimState.VERIFIED, "mother-key", mother.person, basis="same-key")


def _mother_number(facts: Facts) -> Decision | None:
    # all that is told of her: PDS is asked whether the number is valid and she not restricted
    return _BY_NUMBER(facts) if facts.birth else None


def _same_visit_provisional(facts: Facts) -> Decision | None:
    visit = _of_visit(facts)
    if visit is None or facts.visit_state is not ClaimState.PROVISIONAL:
        return None
    return _provisionally("same-visit-provisional", visit.person, facts)


def _key_provisional(facts: Facts) -> Decision | None:
    candidate = facts.candidate
    if candidate is None or not candidate.uncontradicted or candidate.person.restricted:
        return None
    if facts.shared_key and not candidate.supported:
        return None
    return _provisionally("key-provisional", candidate.person, facts)


def _provisionally(rule: str, person: KnownPerson, facts: Facts) -> Decision:
    # A new number says more than what the trace in flight asks; else it follows that trace
    priority = FLAGGED if _new_number(facts) else None
    return Decision(ClaimState.PROVISIONAL, rule, person, priority, basis="candidate")


def _partly(rule: str, matches: Callable[[Standing], bool]) -> Callable[[Facts], Decision | None]:
    def says(facts: Facts) -> Decision | None:
        agreeing = [one for one in facts.flagged if matches(one) and not one.person.restricted]
        if not agreeing:
            return None
        return Decision(ClaimState.PROVISIONAL, rule, agreeing[0].person, FLAGGED, "candidate")

    return says


def _waits(rule: str, matches: Callable[[Standing], bool]) -> Callable[[Facts], Decision | None]:
    def says(facts: Facts) -> Decision | None:
        if not any(matches(one) for one in facts.flagged):
            return None
        return Decision(ClaimState.WAITING, rule, priority=FLAGGED)

    return says


def _child_number(facts: Facts) -> Decision | None:
    if not (facts.child and facts.arrival and facts.evidence.number_token):
        return None
    return Decision(ClaimState.WAITING, "child-number", priority=CHILD)


def _child_elsewhere(facts: Facts) -> Decision | None:
    if facts.evidence.number is not NhsNumberOutcome.OUT_OF_JURISDICTION:
        return None
    if not (facts.child and facts.arrival and facts.evidence.searchable):
        return None
    return Decision(ClaimState.WAITING, "child-out-of-jurisdiction", priority=SEARCH)


def _child_search(facts: Facts) -> Decision | None:
    if not (facts.child and facts.arrival and facts.evidence.searchable):
        return None
    return Decision(ClaimState.WAITING, "child-search", priority=SEARCH)


def _visit_lacks(facts: Facts) -> Decision | None:
    if not (facts.visit_lacks and facts.child and facts.evidence.traceable):
        return None
    return Decision(ClaimState.WAITING, "unresolved-visit", priority=_own(facts.evidence))


def _behind_with_number(facts: Facts) -> Decision | None:
    if not (facts.parked and _new_number(facts)):
        return None
    return Decision(ClaimState.WAITING, "behind-with-number", priority=CHILD)


def _behind(facts: Facts) -> Decision | None:
    if not (facts.parked or facts.visit_open):
        return None
    return Decision(ClaimState.WAITING, "behind-trace")


def _contradicts_visit(facts: Facts) -> Decision | None:
    if facts.visit is None:
        return None
    if not facts.evidence.traceable:
        return Decision(ClaimState.UNRESOLVED, "contradicts-visit")
    return Decision(ClaimState.WAITING, "contradicts-visit", priority=_own(facts.evidence))


def _child_unknown(facts: Facts) -> Decision | None:
    if not (facts.child and facts.arrival):
        return None
    return Decision(ClaimState.UNRESOLVED, "child-without-evidence")


def _adult(facts: Facts) -> Decision | None:
    return None if facts.child else Decision(ClaimState.NOT_TRACED, "adult")


def _no_arrival(facts: Facts) -> Decision | None:
    return Decision(ClaimState.NOT_TRACED, "no-arrival")


def _new_number(facts: Facts) -> bool:
    return facts.evidence.number_token is not None and not facts.number_asked


def _own(evidence: Evidence) -> int:
    return CHILD if evidence.number_token is not None else SEARCH


def _restricted(matches: Callable[[Standing], bool]) -> Callable[[Standing], bool]:
    return lambda one: one.person.restricted and matches(one)


def _partial(one: Standing) -> bool:
    return one.number_and_more or one.all_but_number


_BY_NUMBER: Final = _partly("mother-number", lambda one: one.number)

RULES: Final = (
    Rule("not-used", "not used", "the feed's event changes no visit", _not_used),
    Rule(
        "local-index",
        "verified",
        "number, names and birth date agree with a person whom PDS verified lately, "
        "the given name whole",
        _local_index,
    ),
    Rule(
        "same-visit",
        "verified",
        "the visit is asserted of a person; nothing contradicts; same key, or own evidence",
        _same_visit,
    ),
    Rule(
        "mother-key",
        "verified",
        "a birth: all that is verified of the mother's key names one person; nothing contradicts",
        _mother_key,
    ),
    Rule(
        "same-visit-provisional",
        "provisional",
        "as same-visit, and that assertion is provisional",
        _same_visit_provisional,
    ),
    Rule(
        "key-provisional",
        "provisional",
        "the key goes on provisionally to a candidate, whom nothing contradicts",
        _key_provisional,
    ),
    Rule(
        "restricted-waits",
        "waits, trace priority 1",
        "agrees in part with a flagged person whose record is restricted",
        _waits("restricted-waits", _restricted(_partial)),
    ),
    Rule(
        "partial-number",
        "provisional, trace priority 1",
        "a flagged person's number and one more demographic (not a sibling's number)",
        _partly("partial-number", lambda one: one.number_and_more),
    ),
    Rule(
        "partial-demographics",
        "provisional, trace priority 1",
        "a flagged person's names, birth date and postcode; beside another number, all given names",
        _partly("partial-demographics", lambda one: one.all_but_number),
    ),
    Rule(
        "mother-number",
        "provisional, trace priority 1",
        "a birth: the mother's number is a flagged person's",
        _mother_number,
    ),
    Rule(
        "number-alone",
        "waits, trace priority 1",
        "a flagged person's number and nothing else",
        _waits("number-alone", lambda one: one.number),
    ),
    Rule(
        "names-and-birth-date",
        "waits, trace priority 1",
        "a flagged person's names and birth date; no postcode, or another number and names in part",
        _waits("names-and-birth-date", lambda one: one.names_and_birth_date),
    ),
    Rule(
        "child-number",
        "waits, trace priority 5",
        "an under-18's arrival with a number",
        _child_number,
    ),
    Rule(
        "child-out-of-jurisdiction",
        "waits, search priority 4",
        "an under-18's arrival with a Scottish or Northern Irish number",
        _child_elsewhere,
    ),
    Rule(
        "child-search",
        "waits, search priority 4",
        "an under-18's arrival without a usable number, with family name and birth date",
        _child_search,
    ),
    Rule(
        "unresolved-visit",
        "waits, trace priority 5 or 4",
        "brings a number (or other names) to a child's visit that is unresolved",
        _visit_lacks,
    ),
    Rule(
        "behind-with-number",
        "waits, trace priority 5",
        "the key waits for a trace, and this event brings another number",
        _behind_with_number,
    ),
    Rule("behind-trace", "waits", "the key, or the visit, waits for a trace in flight", _behind),
    Rule(
        "contradicts-visit",
        "waits, trace priority 5 or 4 (else unresolved)",
        "the visit is asserted of somebody whom this event contradicts, or does not support",
        _contradicts_visit,
    ),
    Rule(
        "child-without-evidence",
        "unresolved",
        "an under-18's arrival that says too little to ask PDS",
        _child_unknown,
    ),
    Rule("adult", "not traced", "an adult who agrees with nobody flagged", _adult),
    Rule("no-arrival", "not traced", "no arrival, and agrees with nobody", _no_arrival),
)
