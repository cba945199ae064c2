"""The samples are the bodies that the hub makes: what is proven of a sample holds of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date
from typing import Any

from flag_service import lookup
from flag_service.lookup import Held, Viewer
from flag_service.worklist_views import item, row
from halyard.cli.policy_samples import SAMPLES
from halyard.settings import IdentitySettings
from policies.ruling import Flow
from schemas.events import AlertReceipt, Rung
from stores.accesses import Access, Recorded
from stores.holdings import Attendance
from stores.resolutions import Resolution
from stores.worklist import WorklistEntry
from streams.matching import access_notices, payload, shares
from tests.support.alerts import AT, alert
from tests.support.face import INFIRMARY, NORTH, directory
from tests.support.matching import DESK, flag

DIRECTORY = directory()
ACCESS = Access(
    access_id=uuid.UUID(int=1),
    looked_at=AT,
    organisation=INFIRMARY,
    author="user:nurse",
    author_name="Nora Nurse",
    author_person=True,
    job_role="Nurse",
    roles=("clinician",),
    purpose="urgent-care",
    unscheduled=True,
    interface="flags-query",
)


def paths(value: Any, path: str = "") -> set[str]:
    """Every path of a body, whether it holds something or not."""
    if isinstance(value, Mapping):
        return set().union(
            *(paths(one, f"{path}.{key}" if path else str(key)) for key, one in value.items())
        )
    if isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        return set().union(*(paths(one, path) for one in value))
    return {path}


def sample(flow: Flow) -> set[str]:
    """The paths of a sample."""
    return paths(SAMPLES[flow])


def test_the_samples_of_alerts_matches_and_receipts_are_the_payloads() -> None:
    """Each member of a payload stands in its sample, and no other."""
    event = alert().content
    assert sample(Flow.ALERT) == paths(payload.alert_body(event, DIRECTORY))
    match = payload.match_body(event, DIRECTORY, phones=("1", "2"))
    assert sample(Flow.MATCH) == paths(match)
    receipt = AlertReceipt(
        event_id=uuid.UUID(int=2),
        alert_id=uuid.UUID(int=1),
        version=2,
        rung=Rung.ACCEPTED,
        at=AT,
        authority=NORTH,
        hospital=INFIRMARY,
        by="duty desk",
        answer="We come",
    )
    assert sample(Flow.RECEIPT) == paths(payload.receipt_body(receipt, DIRECTORY))


def test_the_sample_of_a_share_is_what_could_be_told() -> None:
    """Of an alert that its authority shares."""
    assert sample(Flow.SHARE) == paths(shares.members(alert(), "EE1234", DESK, AT))


def test_the_sample_of_an_access_notice_is_the_payload() -> None:
    """With the authority that is told."""
    look = Recorded(ACCESS, "p" * 32, "r", flagged=True, listed=True, reason="x")
    body = access_notices._body(look, DIRECTORY, nhs_number="9990000018", hidden=False)
    body["authority"] = {"gss": NORTH, "name": "North"}
    assert sample(Flow.ACCESS_NOTICE) == paths(body)


def test_the_sample_of_a_look_up_is_an_answer() -> None:
    """Of somebody on a plan, looked at before, seen at another hospital."""
    plan = flag(authority=NORTH, local_id="C-1", start=date(2026, 1, 1))
    held = Held(
        flags=(plan,),
        coverage={},
        number_known=True,
        death_noted=AT,
        accesses=(ACCESS,),
        attendances=(Attendance("RXX02", "ED", AT),),
        here=True,
    )
    known = lookup.covering({}, DIRECTORY, AT)
    found: set[str] = set()
    for who in (NORTH, INFIRMARY):
        viewer = Viewer(who, frozenset({"clinician"}))
        found |= paths(lookup.personal(held, known, DIRECTORY, viewer, AT))
    assert sample(Flow.FLAG_LOOKUP) == found


def test_the_sample_of_a_worklist_is_an_entry() -> None:
    """With the members of its page, and what it shows when it is opened."""
    entry = WorklistEntry(
        entry_id=uuid.UUID(int=4),
        reported_event_id=uuid.UUID(int=5),
        source="north",
        organisation=NORTH,
        event_kind="flag",
        rule="r",
        indicator="04",
        local_id="C-1",
        upload_id=None,
        line=1,
        opened_at=AT,
        claim=dict.fromkeys(
            ("nhs_number", "family", "given", "birth_date", "gender", "plan_type"), "x"
        ),
        candidates=[{"rule": "r", "found_by": "search", "fields": {"family": "agrees"}}],
    )
    decided = Resolution(
        resolution_id=uuid.UUID(int=6),
        entry_id=entry.entry_id,
        organisation=NORTH,
        action="resolve",
        made_by="user:nurse",
        reason="x",
        made_at=AT,
    )
    page = {"entries": [row(entry, IdentitySettings(), AT)], "next": "", "more": 1}
    opened = {"entries": [item(entry, [decided], IdentitySettings(), AT)]}
    assert paths(page) <= sample(Flow.WORKLIST)
    assert sample(Flow.WORKLIST) == paths(page) | paths(opened)
