"""What an answer of PDS means for a claim: judged by its own details, thresholds and number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.pds.comparison import Thresholds
from connectors.pds.outcomes import Found, Invalidated, NotFound, PdsRecord, Superseded, TooMany
from halyard.privacy import Keys
from schemas.events import NhsNumberStatus, PersonClaim
from streams.identity.answers import Judgement, TraceAnswer, judge
from streams.identity.evidence import Evidence, evidence_of

KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
RECORD = PdsRecord(
    nhs_number="9990001014",
    family="Testchild",
    given=("Robin",),
    birth_date="2017-03-14",
    gender="male",
    postcode="ZZ1 1AA",
    restricted=False,
)
CLAIM = PersonClaim(
    family="Testchild", given=("Robin",), birth_date="2017-03-14", gender="M", postcode="ZZ1 1AA"
)
PREFIX = "given_prefix_and_birth_date"


def evidence(**changed: object) -> Evidence:
    """A claim's evidence, without a number unless it is told."""
    claim = replace(CLAIM, **changed)  # type: ignore[arg-type]  # fields by name
    return evidence_of(claim, keys=KEYS, profile="test")


def found(query: str | None = PREFIX, *, score: float | None = 0.95) -> TraceAnswer:
    """PDS found the record, by a query or by number."""
    return TraceAnswer(Found(RECORD, score), query)


@pytest.mark.parametrize(
    ("answer", "claim", "rule", "verified"),
    [
        (found(), {}, "pds.search.birth_date_names", True),
        (found(), {"given": ("Rob",)}, "pds.search.given_nearly", False),
        (found("names_birth_date_and_postcode"), {}, "pds.search.birth_date_names_postcode", True),
        (found("names_birth_date_and_postcode"), {"postcode": None},
         "pds.search.placed_elsewhere", False),
        (found("names_and_birth_date_range"), {}, "pds.search.birth_date_range", False),
        (found("a_query_of_tomorrow"), {}, "pds.search.birth_date_range", False),
        (found(score=0.79), {}, "pds.search.low_score", False),
        (found("fuzzy_names_and_birth_date", score=0.84), {}, "pds.search.low_score", False),
        (found(), {"nhs_number": "1010101013", "postcode": None},
         "pds.search.number_of_another_country", False),
        (found(), {"nhs_number": "1010101013"}, "pds.search.birth_date_names", True),
        (found(None), {"nhs_number": "9990001014"}, "pds.get.number_birth_date_names", True),
        (TraceAnswer(Superseded(RECORD, "9990001022")), {"nhs_number": "9990001022"},
         "pds.get.number_birth_date_names.superseded", True),
        (TraceAnswer(Superseded(RECORD, "9990001022")),
         {"nhs_number": "9990001022", "given": ("Kit",)},
         "pds.get.given_differs_perhaps_a_twin", False),
        (TraceAnswer(Invalidated()), {"nhs_number": "9990001014"}, "pds.invalidated", False),
        (TraceAnswer(NotFound()), {"nhs_number": "9990001014"}, "pds.not_found", False),
        (TraceAnswer(TooMany(), PREFIX), {}, "pds.too_many_matches", False),
    ],
)  # fmt: skip
def test_what_an_answer_means(
    answer: TraceAnswer, claim: dict[str, object], rule: str, verified: bool
) -> None:
    """The query that decided, the claim's own details and its number's country each count."""
    one = judge(answer, evidence(**claim))
    assert (one.rule, one.indicator is NhsNumberStatus.VERIFIED) == (rule, verified)
    assert (one.record is not None) is verified


def test_thresholds_are_those_of_the_settings() -> None:
    """A hub that asks for more verifies less."""
    assert judge(found(), evidence()).record is RECORD
    strict = judge(found(), evidence(), Thresholds(0.99, 0.99))
    assert strict.rule == "pds.search.low_score"
    assert strict.potential is RECORD


def test_a_restricted_record_is_no_potential_match() -> None:
    """Neither proven nor contradicted: a restricted child is named to nobody."""
    hidden = replace(RECORD, restricted=True, postcode=None)
    one = judge(TraceAnswer(Found(hidden, 0.5), PREFIX), evidence())
    assert one == Judgement(
        "pds.search.low_score", NhsNumberStatus.NEEDS_RESOLUTION, comparison=one.comparison
    )


def test_successors_in_a_circle_end_at_once() -> None:
    """PDS says that each of two numbers was merged into the other: each claim is judged by the
    record it was given, and nothing is followed."""
    other = replace(RECORD, nhs_number="9990001022")
    for record, asked in ((other, "9990001014"), (RECORD, "9990001022")):
        one = judge(TraceAnswer(Superseded(record, asked)), evidence(nhs_number=asked))
        assert (one.superseded, one.record) == (True, record)
