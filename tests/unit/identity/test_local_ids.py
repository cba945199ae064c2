"""A visit under another local id, and a local id used again or none at all, prove nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.pds.outcomes import Found
from schemas.events import PersonClaim, VisitEventKind
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.waiting_keys import answer, states, take

UNNUMBERED = replace(CHILD, nhs_number=None)
NAMELESS = PersonClaim()
CANCEL, UPDATE = VisitEventKind.CANCEL, VisitEventKind.UPDATE


def test_a_bare_cancel_under_another_local_id_is_not_the_waiting_childs() -> None:
    """Visit numbers may clash: it waits, and is not asserted of whom the arrival is found to be."""
    book = make.ledger()
    arrival = make.attendance(UNNUMBERED, local_id="L1")
    cancel = make.attendance(NAMELESS, local_id="L2", kind=CANCEL)
    take(book, arrival, cancel)
    answer(book, arrival, Found(make.record(), score=1.0))
    assert states(book, arrival, cancel) == [
        ("verified", "pds.search.birth_date_names"),
        ("not_traced", "key-not-traced"),
    ]
    assert book.parked(cancel.source_patient) is None


def test_a_bare_cancel_under_another_local_id_is_not_the_flagged_childs() -> None:
    """Verified or provisional visit: the alert stands, and no assertion names the child."""
    for verified_at in (make.NOW, make.NOW - timedelta(days=31)):
        book = make.ledger([make.known(verified_at=verified_at)])
        cancel = make.attendance(NAMELESS, local_id="L2", kind=CANCEL)
        take(book, make.attendance(local_id="L1"), cancel)
        assert book.claim(cancel.event_id).person is None
        assert cancel.event_id not in make.holding(book.changes.entries)


def test_a_reused_local_id_with_other_names_is_not_released() -> None:
    """Another patient's visit under the same local id, other names: no key evidence."""
    book = make.ledger()
    arrival = make.attendance(UNNUMBERED)
    renamed = PersonClaim(family="Somebody", given=("Else",))
    other = make.attendance(renamed, visit="V2", kind=UPDATE)
    take(book, arrival, other)
    answer(book, arrival, Found(make.record(), score=1.0))
    assert states(book, other) == [("not_traced", "key-not-traced")]


def test_a_reused_local_id_with_other_names_does_not_go_provisionally() -> None:
    """The key's candidate is not the person of an event with other names."""
    book = make.ledger([make.known()])
    renamed = PersonClaim(family="Somebody", given=("Else",))
    other = make.attendance(renamed, visit="V2", kind=UPDATE)
    take(book, make.attendance(UNNUMBERED), other)
    assert book.claim(other.event_id).person is None


@pytest.mark.parametrize("local_id", ["UNKNOWN", "unk 7", "Trauma 3", "0", "000000"])
def test_a_placeholder_local_id_is_no_key(local_id: str) -> None:
    """A bare event of another visit under it is neither provisional nor released."""
    book = make.ledger([make.known()])
    arrival = make.attendance(UNNUMBERED, local_id=local_id)
    other = make.attendance(NAMELESS, local_id=local_id, visit="V2", kind=CANCEL)
    cancel = make.attendance(NAMELESS, local_id=local_id, kind=CANCEL)
    take(book, arrival, other, cancel)
    assert book.claim(other.event_id).person is None
    answer(book, arrival, Found(make.record(), score=1.0))
    assert [state for state, _ in states(book, arrival, cancel)] == ["verified"] * 2
    assert states(book, other) == [("not_traced", "key-not-traced")]
