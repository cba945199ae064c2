"""What `halyard doctor` finds of the proof: broken glass is noticed, and the audit chain is sealed.

Both are found out otherwise only once they are needed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from halyard.audit_chain import CheckpointRejected, read_checkpoint
from halyard.cli.doctor_database import doctor_pool
from halyard.clock import system_clock
from halyard.postgres import transaction
from halyard.settings import Settings
from halyard.settings_audit import AuditSettings
from policies import versions
from policies.model import Policy, load_policies
from policies.reach import unnoticed
from stores import audit_seals, audit_walk
from stores.audit_seals import Pending
from stores.directory import load_directory
from streams.audit.export import checkpoint_dir, last_line

Result = Literal["ok", "warning", "failed"]

_SLACK: Final = timedelta(minutes=1)
"""Above the open window: a pass may be slow, and a transaction elsewhere holds sealing back."""
_SEE: Final = "see that `halyard sealer` runs, and its log"


@dataclass(frozen=True, slots=True)
class Sealing:
    """What stands in the database and in the export."""

    pending: Pending
    stored: int  # number of the last checkpoint; 0: none
    signed_at: datetime | None
    export: str | None  # the export's last line
    counterpart: str | None  # the stored line with its number


def guardians(settings: Settings) -> tuple[Result, str]:
    """That a Caldicott guardian is told wherever somebody may break the glass."""
    directory = load_directory(settings.directory_file)
    missing = unnoticed(load_policies(settings.policies.directory), directory, system_clock())
    if missing:
        return "warning", (
            f"{', '.join(missing)} has people who may break the glass, and nobody would be told: "
            "set caldicott_endpoint there, or limit the [[role_map]] to other organisations"
        )
    return "ok", "wherever somebody may break the glass, a Caldicott guardian is told"


def policy_versions(settings: Settings) -> tuple[Result, str]:
    """That no version of a policy says something else than when it was first used."""
    policies = load_policies(settings.policies.directory)

    async def look() -> list[Policy]:
        async with doctor_pool(settings) as pool, transaction(pool) as connection:
            return await versions.changed(connection, policies)

    versions.refuse(policies, asyncio.run(look()))
    return "ok", "each version says what it said when it was first used"


def sealer(settings: Settings) -> tuple[Result, str]:
    """That entries get their places, and checkpoints go out of the database."""
    directory = checkpoint_dir(settings)

    async def look() -> Sealing:
        line = await asyncio.to_thread(last_line, directory)
        number = _number(line)
        async with doctor_pool(settings) as pool, transaction(pool) as connection:
            lines = await audit_walk.stored_lines(connection, [] if number is None else [number])
            return Sealing(
                pending=await audit_seals.pending(connection),
                stored=await audit_seals.last_number(connection),
                signed_at=await audit_seals.last_signed(connection),
                export=line,
                counterpart=lines.get(number or 0),
            )

    try:
        found = asyncio.run(look())
    except OSError as error:
        return "failed", f"{directory} cannot be read ({type(error).__name__}): {_SEE}"
    return sealing(found, directory, settings.audit, system_clock())


def sealing(
    found: Sealing, directory: Path, settings: AuditSettings, now: datetime
) -> tuple[Result, str]:
    """What is wrong with sealing, and what to do. Pure but for whether `directory` is there."""
    oldest = found.pending.oldest
    if oldest is not None and now - oldest > timedelta(seconds=settings.window_seconds) + _SLACK:
        return "failed", (
            f"{found.pending.entries} entries wait for a seal, the oldest for {_age(now, oldest)}: "
            f"{_SEE}"
        )
    if found.signed_at is None or not found.stored:
        return "ok", "nothing has been sealed yet, and nothing waits"
    if found.export is None:
        return "failed", (
            f"{directory} has no checkpoints, and {found.stored} are stored: whoever owns the "
            "database could build the chain anew. Check HALYARD_AUDIT__CHECKPOINT_DIR here and at "
            "the sealer"
        )
    if found.export != found.counterpart:
        return "failed", (
            f"the last checkpoint in {directory} is not the one in the database: run `halyard "
            "audit verify`, and find out who wrote there"
        )
    number = _number(found.export) or 0
    late = timedelta(seconds=settings.window_seconds) + _SLACK
    if number < found.stored and now - found.signed_at > late:
        return "failed", (
            f"{found.stored - number} checkpoints are signed and not exported to {directory}: "
            f"{_SEE}"
        )
    if now - found.signed_at > timedelta(seconds=3 * settings.heartbeat_seconds):
        return "failed", f"the last checkpoint is {_age(now, found.signed_at)} old: {_SEE}"
    return "ok", (
        f"the last checkpoint ({found.stored}) is {_age(now, found.signed_at)} old and exported to "
        f"{directory}"
    )


def _number(line: str | None) -> int | None:
    """Number of a checkpoint's line; 0, which none has, if it is no checkpoint."""
    if line is None:
        return None
    try:
        return read_checkpoint(line).number
    except CheckpointRejected:
        return 0


def _age(now: datetime, then: datetime) -> str:
    seconds = max(int((now - then).total_seconds()), 0)
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
