"""Nobody who has a usable number is searched for; what would be said of them if they were."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from connectors.pds.outcomes import Found, PdsRecord
from connectors.pds.search import PREFIX
from halyard import nhs_number
from schemas.events import NhsNumberStatus, PersonClaim
from streams.identity.answers import TraceAnswer, judge
from streams.identity.evidence import evidence_of
from streams.tracer.batch_questions import question_of
from tests.support import identity as make

CLAIM = PersonClaim(family="Testfield", given=("Robin",), birth_date="2017-03-04", gender="female")
RECORD = PdsRecord(
    nhs_number=make.number(1),
    family="Testfield",
    given=("Robin",),
    birth_date="2017-03-04",
    gender="female",
    restricted=False,
)
SENT = st.one_of(
    st.integers(0, 500).map(make.number),
    st.text("0123456789", min_size=10, max_size=10),
    st.text(max_size=12),
)


@given(SENT)
def test_the_ladder_judges_no_search_by_a_number(sent: str) -> None:
    """What is searched for has no number by the time that it is judged: it was none."""
    claim = replace(CLAIM, nhs_number=sent)
    evidence = evidence_of(claim, keys=make.KEYS, profile="test")
    asked = question_of(make.KEYS, "test", claim)
    assert asked is not None
    usable = nhs_number.parse(sent, profile="test").usable
    assert (asked.number_token is not None) is usable
    assert (evidence.claim.nhs_number is None) is not usable


def test_a_search_that_was_made_beside_a_number_never_verifies_another() -> None:
    """No route leads here (`pds.search.another_number`). It is kept as a second defence: were
    somebody ever searched for after a number (ADR 0043 says never), a record of the same names
    under another number, as an adopted child's, would still not be taken for theirs.
    """
    answer = TraceAnswer(Found(RECORD, score=1.0), query=PREFIX)
    own = evidence_of(replace(CLAIM, nhs_number=make.number(2)), keys=make.KEYS, profile="test")
    judged = judge(answer, own)
    assert judged.rule == "pds.search.another_number"
    assert judged.record is None
    assert judged.indicator is NhsNumberStatus.NEEDS_RESOLUTION
    assert judge(answer, evidence_of(CLAIM, keys=make.KEYS, profile="test")).record == RECORD
