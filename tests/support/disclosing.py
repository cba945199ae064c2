"""A face whose directory has agencies and people with roles, and policies of the test's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final

from flag_service.door import practice_tokens
from halyard.caller import Attempt, Authenticate, Caller
from halyard.http_edge import bearer
from halyard.postgres import Pool, transaction
from policies.model import Policies, Policy, load_policies
from policies.ruling import Flow
from stores.credentials import Credential
from stores.directory import Directory
from stores.panels import Agency
from tests.support import face
from tests.support.face import INFIRMARY, NORTH, SOUTH

SCHOOL, POLICE, SURGERY, CHARITY = "EE100001", "PP100", "A99001", "CC100"
_PEOPLE: Final = {
    "worker": (NORTH, ("social-worker",)),
    "colleague": (NORTH, ("social-worker",)),
    "south-worker": (SOUTH, ("social-worker",)),
    "nurse": (INFIRMARY, ("safeguarding-nurse",)),
    "school": (SCHOOL, None),
    "police": (POLICE, None),
    "surgery": (SURGERY, None),
}
LONG_AGO, LATER = date(2000, 1, 1), date(2019, 4, 1)


def directory() -> Directory:
    """`tests.support.face.directory` with agencies, and a token for each of the people."""
    made = face.directory()
    agencies = {
        SCHOOL: Agency(code=SCHOOL, name="A School", kind="school"),
        POLICE: Agency(code=POLICE, name="A Police Force", kind="police"),
        CHARITY: Agency(code=CHARITY, name="A Charity"),
        SURGERY: Agency(
            code=SURGERY, name="A Surgery", kind="general-practice", health_or_social_care=True
        ),
    }
    credentials = tuple(
        Credential(
            organisation=organisation,
            sha256=hashlib.sha256(_token(name).encode()).hexdigest(),
            roles=roles,
        )
        for name, (organisation, roles) in _PEOPLE.items()
    )
    return replace(made, agencies=agencies, credentials=(*made.credentials, *credentials))


def _token(name: str) -> str:
    return f"practice-token-of-a-{name}"


def as_(name: str) -> dict[str, str]:
    """The Authorization header of one of the people."""
    return {"Authorization": f"Bearer {_token(name)}"}


def door(known: Directory) -> Authenticate:
    """Who has a role of people is a person, each of them somebody else; the others are systems."""
    tokens = practice_tokens(known)
    people = {_token(name): name for name, (_, roles) in _PEOPLE.items() if roles}

    async def authenticate(attempt: Attempt) -> Caller | None:
        found = await tokens(attempt)
        name = people.get(bearer(attempt) or "")
        if found is None or name is None:
            return found
        return replace(found, subject=f"user:{name}", name=f"Sam {name.title()}", person=True)

    return authenticate


def changed(flow: Flow, **changes: Any) -> Policies:
    """The product's policies, those of `flow` with these members changed."""
    return Policies.of(
        _with(one, changes) if flow in one.flows else one for one in load_policies(None).all
    )


def _with(policy: Policy, changes: Mapping[str, Any]) -> Policy:
    given = policy.model_dump(mode="json", by_alias=True)
    return Policy.model_validate({**given, **changes})


REVIEW: Final = {"review": [{"code": "a-person-decides", "reason": "a test", "always": True}]}
DENY: Final = {"deny": [{"code": "not-now", "reason": "a test", "always": True}]}
ENDED: Final = {"start": LONG_AGO, "end": LATER}


async def entries(pool: Pool, flow: str | None = None) -> list[dict[str, Any]]:
    """What the audit chain keeps, in order (of one flow)."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(
            "select body from audit_entries where %(flow)s::text is null "
            "or body->>'flow' = %(flow)s order by recorded_at, entry_id",
            {"flow": flow},
        )
        return [row["body"] for row in await cursor.fetchall()]


def now() -> datetime:
    """The present."""
    return datetime.now(UTC)
