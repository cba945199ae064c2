"""The audit entry of a ruling: what was asked, decided and disclosed, in codes. Pure.

It holds what `halyard policy diff` needs to ask the same again under other policies.
"""

from __future__ import annotations

import functools
import uuid
from datetime import datetime
from typing import Any, Final

from halyard.privacy import Keys
from policies.ruling import Disclosure, Ruling
from stores.audit import AuditEntry, Kind

UNLISTED: Final = "unlisted"
"""Of a field that a sender has named itself the audit keeps only that: the name could say more."""


def entry(
    ruling: Ruling,
    disclosure: Disclosure,
    *,
    entry_id: uuid.UUID,
    recorded_at: datetime,
    kind: Kind,
    actor: str,
    organisation: str,
    keys: Keys,
    chain: str | None = None,
    person: str | None = None,
    subject: str | None = None,
    payload: bytes | None = None,
    detail: tuple[tuple[str, str], ...] = (),
    **more: Any,
) -> AuditEntry:
    """The entry. `chain`: the recipient's, if not said; `person`: a pseudonym (store key);
    `payload`: the bytes that leave, kept as a keyed digest; `more`: further members of
    `AuditEntry`.
    """
    fields = _known(ruling.fields)
    return AuditEntry(
        entry_id=entry_id,
        recorded_at=recorded_at,
        kind=kind,
        chain=chain or disclosure.recipient,
        actor=actor,
        organisation=organisation,
        decision=ruling.decision.value,
        rule=ruling.rule,
        flow=disclosure.flow.value,
        purpose=ruling.purpose,
        legal_basis=ruling.legal_basis,
        policy=ruling.policy,
        policy_version=ruling.version,
        person=person,
        subject=subject,
        fields=fields,
        payload_digest=None if payload is None else keys.digest(payload),
        key_id=None if payload is None else keys.bus_id,
        detail=(*detail, *_asked(ruling, disclosure, fields)),
        **more,
    )


@functools.lru_cache(maxsize=4_096)
def _known(fields: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted({UNLISTED if name.startswith(f"{UNLISTED}.") else name for name in fields}))


def _asked(
    ruling: Ruling, disclosure: Disclosure, fields: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    left = disclosure.fields - ruling.fields
    withheld = sorted(set(_known(left)) - set(fields)) if left else ()
    told = {
        "recipient": disclosure.recipient,
        "sector": disclosure.sector.value,
        "withheld": ",".join(withheld),
        "roles": ",".join(sorted(disclosure.roles)),
        "restricted": "yes" if disclosure.restricted else "",
        "asked_purpose": disclosure.purpose or "",
    }
    return tuple((name, value) for name, value in told.items() if value)
