"""Reports on the real stage: asked or unasked, before and after their case, and versions."""

from __future__ import annotations

import uuid

from schemas.deaths import (
    CaseChange,
    Fact,
    ReportKind,
    ReportRequested,
    RequestState,
)
from tests.support.cases import (
    CHILD,
    OTHER_HOSPITAL,
    SURGERY,
    Hub,
    case_id,
    death,
    identity,
    report,
)

PROFESSIONAL = (
    Fact("professional.role", row=1, value="general-practitioner"),
    Fact("professional.organisation-code", row=1, value=SURGERY),
)


async def asked(hub: Hub) -> ReportRequested:
    """A case whose surgery is asked."""
    await hub.take(death(who=identity(), number=CHILD, rows=PROFESSIONAL))
    (found,) = [one for one in hub.requested() if one.agency == SURGERY]
    assert found.state is RequestState.REQUESTED
    return found


async def test_a_report_answers_its_request(hub: Hub) -> None:
    """The request is submitted, the case has the facts, the surgery its acknowledgement."""
    request = await asked(hub)
    sent = report(request_id=request.request_id, told={"child.gestation-weeks": "38"})
    await hub.take(sent)
    content = (await hub.case(request.case_id)).content
    assert [one.state for one in content.requests if one.agency == SURGERY] == [
        RequestState.SUBMITTED
    ]
    assert [one.organisation for one in content.reports] == [SURGERY]
    assert "38" in {one.fact.value for one in content.facts if one.organisation == SURGERY}
    assert hub.told()[-1].change is CaseChange.REPORTED
    assert hub.requested()[-1].state is RequestState.SUBMITTED
    assert await hub.answer(sent) == "accepted"


async def test_another_agencys_request_cannot_be_answered(hub: Hub) -> None:
    """The report is rejected and changes nothing; without the request it would be taken."""
    request = await asked(hub)
    told = len(hub.told())
    sent = report(organisation=OTHER_HOSPITAL, request_id=request.request_id)
    await hub.take(sent)
    assert await hub.answer(sent) == "!not-your-request"
    assert len(hub.told()) == told


async def test_a_request_that_nobody_made_leaves_the_report_unasked(hub: Hub) -> None:
    """It is taken with a warning."""
    await asked(hub)
    sent = report(request_id=uuid.UUID(int=7), who=identity())
    await hub.take(sent)
    assert await hub.answer(sent) == "accepted+unknown-request"
    assert len((await hub.case(case_id(death()))).content.reports) == 1


async def test_a_report_waits_for_the_case_of_its_child(hub: Hub) -> None:
    """Without a case it is kept, and joins the case of that verified child when it opens."""
    sent = report(who=identity())
    await hub.take(sent)
    assert await hub.answer(sent) == "accepted+no-case-yet"
    first = death(who=identity(), number=CHILD)
    await hub.take(first)
    assert [one.change for one in hub.told()] == [CaseChange.OPENED, CaseChange.REPORTED]
    assert len((await hub.case(case_id(first))).content.reports) == 1


async def test_a_report_joins_when_its_child_is_known(hub: Hub) -> None:
    """Identity names the child of the report after the case was opened."""
    first = death(who=identity(), number=CHILD)
    await hub.take(report(), first)
    assert (await hub.case(case_id(first))).content.reports == ()
    await hub.take(report(who=identity(), revision=2))
    assert len((await hub.case(case_id(first))).content.reports) == 1


async def test_versions_of_a_report(hub: Hub) -> None:
    """A higher version is applied, a lower one superseded, the same one known or refused."""
    first = death(who=identity(), number=CHILD)
    await hub.take(first)
    second = report(ReportKind.REPORT, 2, who=identity(), told={"report.note": "two"})
    same = report(ReportKind.REPORT, 2, who=identity(), told={"report.note": "two"})
    other = report(ReportKind.REPORT, 2, who=identity(), told={"report.note": "other"})
    early = report(ReportKind.PARTIAL, 1, who=identity(), told={"report.note": "one"})
    await hub.take(second, same, other, early)
    assert [await hub.answer(one) for one in (second, other, early)] == [
        "accepted",
        "!version-reuse",
        "superseded",
    ]
    (link,) = (await hub.case(case_id(first))).content.reports
    assert (link.version, link.kind) == (2, ReportKind.REPORT)


async def test_nothing_known_is_a_full_answer(hub: Hub) -> None:
    """The request ends."""
    request = await asked(hub)
    await hub.take(report(ReportKind.NOTHING_KNOWN, request_id=request.request_id))
    content = (await hub.case(request.case_id)).content
    assert [one.state for one in content.requests if one.agency == SURGERY] == [
        RequestState.NOTHING_KNOWN
    ]
