"""Messages about deaths of invented children, ready to send; built by `sandbox.deaths.bundles`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sandbox.deaths import bundles
from sandbox.deaths.bundles import Absent, Answer, Child, Said

CHILD: Final = Child(
    family="Jessop",
    given=("Lily",),
    birth_date="2021-11-11",
    sex="female",
    nhs_number="9990001391",
    status="01",
    local_id="T01391",
    postcode="ZZ4 1AB",
    address="1 Sample Street, Practiceton",
)
"""A child of the practice PDS."""
TWIN: Final = Child(
    family="Mirrorfield",
    given=("Casey",),
    birth_date="2018-02-11",
    sex="female",
    nhs_number="9990001138",
    postcode="ZZ5 1AA",
    birth_order=1,
)
ANSWERS: Final[Mapping[str, Answer]] = {
    "referral.date": "2026-03-01",
    "referrer.name": "Dr Morgan Practice",
    "referrer.role": "consultant",
    "child.residence-authority": "E06000999",
    "child.looked-after": False,
    "child.ethnicity": Absent("not-asked"),
    "death.date": "2026-03-01",
    "death.time": "04:10",
    "death.place": "acute-hospital.emergency-department",
    "death.authority": "E06000999",
    "death.expected": False,
    "death.circumstances": "Found unresponsive at home; brought in by ambulance.",
    "death.cause-1a": Said("Not yet known", opinion=True, as_at="2026-03-01"),
    "death.post-mortem-required": True,
}
PROFESSIONALS: Final[Sequence[Mapping[str, Answer]]] = (
    {
        "role": "general-practitioner",
        "name": "Dr Ash Example",
        "organisation": "Practice Surgery",
        "organisation-code": "Y90001",
    },
    {
        "role": "childrens-social-care",
        "name": "Sam Sample",
        "organisation": "Practice Borough Council",
        "organisation-code": "E06000999",
    },
)


def notification_bundle(
    reference: str = "N-1", child: Child = CHILD, **more: Any
) -> dict[str, Any]:
    """A notification with the answers above; `more` as `bundles.notification`, `answers` and `rows`
    added to them.
    """
    answers = {**ANSWERS, **more.pop("answers", {})}
    rows = {"professional": PROFESSIONALS, **more.pop("rows", {})}
    return bundles.notification(
        reference=reference, child=child, answers=answers, rows=rows, **more
    )


def update_bundle(
    reference: str = "N-1", version: int = 2, child: Child = CHILD, **more: Any
) -> dict[str, Any]:
    """An update of it."""
    answers = {**ANSWERS, **more.pop("answers", {})}
    rows = {"professional": PROFESSIONALS, **more.pop("rows", {})}
    return bundles.update(
        reference=reference, version=version, child=child, answers=answers, rows=rows, **more
    )


def without_number(child: Child = CHILD) -> Child:
    """The same child, whose number nobody has."""
    return replace(child, nhs_number=None, status=None)
