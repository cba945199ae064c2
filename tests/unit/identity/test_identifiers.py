"""Which identifiers are kept beside the NHS number, and that none of them is evidence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.identifiers import LENGTH, MOST, Scheme, kept, made, stated, upn_is_valid
from connectors.persons import usable_number
from schemas.events import Identifier
from streams.identity.evidence import evidence_of
from tests.support import identity as make

LETTERS = "ABCDEFGHJKLMNPQRTUVWXYZ"  # pragma: allowlist secret


@pytest.mark.parametrize(
    "value", ["", " ", None, "UNKNOWN", "0000", "TRAUMA 3", "x" * 65, "a\x00b", "a\u202eb"]
)
def test_what_names_nobody_is_no_identifier(value: str | None) -> None:
    """Placeholders, what is too long, what cannot be read."""
    assert made(Scheme.HOSPITAL_NUMBER, value) is None


@pytest.mark.parametrize("number", ["9990000018", "999 000 0018", "999-000-0018"])
def test_an_nhs_number_is_never_kept_under_another_name(number: str) -> None:
    """Whoever may see a hospital number need not be one who may hold an NHS number."""
    for scheme in Scheme:
        assert made(scheme, number) is None


@given(st.text(max_size=80))
def test_any_text_is_bounded_or_left_out(text: str) -> None:
    """Nothing raises; what is kept is short and no number."""
    one = made(Scheme.LOCAL_RECORD, text, text)
    if one is not None:
        assert 0 < len(one.value) <= LENGTH
        assert len(one.assigner) <= 100
        assert usable_number(one.value) is None


def test_ten_different_ones_are_kept_beside_the_local_id() -> None:
    """A sender who repeats himself for ever costs no more."""
    many = [made(Scheme.HOSPITAL_NUMBER, f"H{number % 40}") for number in range(900)]
    found = kept(many, beside="H0")
    assert [one.value for one in found] == [f"H{number}" for number in range(1, MOST + 1)]


@given(st.text("0123456789", min_size=11, max_size=11), st.sampled_from("0123456789" + LETTERS))
def test_one_check_letter_alone_is_right(digits: str, last: str) -> None:
    """And another digit in any one place makes it wrong (23 is prime, and above every weight)."""
    (right,) = [one for one in LETTERS if upn_is_valid(f"{one}{digits}{last}")]
    for place in range(11):
        other = str((int(digits[place]) + 1) % 10)
        assert not upn_is_valid(f"{right}{digits[:place]}{other}{digits[place + 1 :]}{last}")


def test_the_local_id_is_stated_under_the_scheme_of_its_sender() -> None:
    """A hospital's is a hospital number, an authority's its own; then what stands beside it."""
    upn = Identifier(Scheme.UPN.value, "B801200005001", "E99000001")
    arrival = make.attendance(make.CHILD, local_id="L1")
    assert next((one.scheme, one.value, one.assigner) for one in stated(arrival)) == (
        "hospital-number",
        arrival.claim.local_id,
        arrival.organisation,
    )
    flag = make.flag(replace(make.CHILD, identifiers=(upn,)))
    assert [one.scheme for one in stated(flag)] == ["la-child-id", "unique-pupil-number"]


def test_identifiers_are_no_evidence() -> None:
    """What the ladder weighs, and what PDS is asked with, has none of them."""
    claim = replace(make.CHILD, identifiers=(Identifier("hospital-number", "H1", "RXX"),))
    weighed = evidence_of(claim, keys=make.KEYS, profile="test")
    assert weighed.claim.identifiers == ()
    assert weighed == evidence_of(make.CHILD, keys=make.KEYS, profile="test")
