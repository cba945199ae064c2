"""Changing the bus key by drain: what stands in the way, and the switch (docs/adr/0041)."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from halyard import kafka_admin
from halyard.errors import ConfigurationError, PermanentError
from halyard.kafka import qualified
from halyard.kafka_admin import PartitionLag
from halyard.postgres import make_pool, transaction
from halyard.privacy import Keys, key_id, load_keys, read_private
from halyard.secrets_file import changing
from halyard.settings import Settings
from schemas.topics import registry
from stores import audit, bus_key
from stores.audit import HUB, AuditEntry
from stores.bus_key import Undone

INGRESS: Final = ("halyard-connector-hl7v2", "halyard-serve")
"""Processes that make keys of what comes in, as PostgreSQL knows them."""

_KEYED: Final = frozenset({"person", "source person"})
_STILL_SECONDS: Final = 1.0  # between two looks at the ends of the log


class NotDrained(PermanentError):
    """Something is under way under the present bus key; see docs/howto/rotate-keys.md."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What was done: ids of the keys, and who still runs with the old one and will end."""

    before: str
    after: str
    file: Path | None  # that was written
    finished: bool  # a rotation that had been broken off was brought to its end
    to_restart: tuple[str, ...]


def groups() -> dict[str, list[str]]:
    """Consumer groups whose order depends on the bus key, with the topics that they read."""
    found: dict[str, list[str]] = {}
    for topic in registry():
        if topic.key in _KEYED:
            for reader in topic.readers:
                if reader != "journal":  # order means nothing to it
                    found.setdefault(reader, []).append(topic.name)
    return found


def hindrances(
    undone: Undone,
    sessions: Sequence[str],
    first: Mapping[str, Sequence[PartitionLag]],
    second: Mapping[str, Sequence[PartitionLag]],
) -> list[str]:
    """Why the key cannot be changed now; empty if it can. Pure.

    `first` and `second` are two looks at every group, a moment apart.
    """
    reasons = [f"{name.removeprefix('halyard-')} runs: stop it" for name in _ingress(sessions)]
    for group, parts in second.items():
        if lag := sum(one.lag for one in parts):
            reasons.append(f"{group} has {lag} records to take: let it, or start it")
        if [one.end for one in parts] != [one.end for one in first[group]]:
            reasons.append(f"somebody writes what {group} reads: stop whoever does")
    for count, text in (
        (undone.unpublished, "records wait in the outbox: start a worker, which publishes them"),
        (undone.never_sent, "records of the outbox are parked: see `halyard outbox list`"),
        (undone.traces, "traces wait for PDS: start the tracer, or wait for PDS"),
        (undone.parked, "patients' events wait for a trace: start the tracer, or wait for PDS"),
        (undone.waiting, "events wait for a decision: start identity and the tracer"),
    ):
        if count:
            reasons.append(f"{count} {text}")
    return reasons


def _ingress(sessions: Sequence[str]) -> list[str]:
    return [name for name in sessions if name.startswith(INGRESS)]


async def rotate(
    settings: Settings, *, new_key_file: Path | None, reason: str, actor: str, now: datetime
) -> Rotated:
    """Use a new bus key from now on; the old one is kept for digests of before.

    Raises `NotDrained` with every reason, `ConfigurationError` if the present key is not the one in
    use or the new one cannot be kept.
    """
    keys = load_keys(settings.security)
    async with make_pool(settings, name="keys", size=1) as pool:
        async with transaction(pool) as connection:
            found = await bus_key.current(connection)
            if found is None:
                await bus_key.confirm(connection, keys.bus_id)
        in_use = keys.bus_id if found is None else found.key_id
        finishing = in_use != keys.bus_id
        new = keys.bus if finishing else _new_key(settings, keys, new_key_file)
        if finishing and in_use not in keys.retired:
            raise ConfigurationError(
                f"The bus key here ({keys.bus_id}) is not the one in use ({in_use}): take the "
                "secrets file of the processes that run."
            )
        first = await asyncio.to_thread(_look, settings)
        await asyncio.sleep(_STILL_SECONDS)
        second = await asyncio.to_thread(_look, settings)
        file = None if finishing else _file(settings)
        async with transaction(pool) as connection:
            await bus_key.current(connection, hold=True)
            running = await bus_key.sessions(connection)
            undone = await bus_key.undone(connection)
            if reasons := hindrances(undone, running, first, second):
                raise NotDrained(f"The bus key cannot be changed now: {'; '.join(reasons)}.")
            if not await bus_key.switch(connection, before=in_use, after=key_id(new), at=now):
                raise NotDrained("Somebody else is changing the bus key; look at it again.")
            await audit.append(connection, [_entry(in_use, key_id(new), reason, actor, now)])
            # the file before the commit: if that fails, the next run finds both keys and goes on
            with _changing(file) as table:
                if file is not None:
                    _put(table, keys, new, now)
        others = tuple(one for one in running if not one.startswith("halyard-keys"))
    return Rotated(in_use, key_id(new), file, finishing, others)


def _look(settings: Settings) -> dict[str, list[PartitionLag]]:
    return {
        group: kafka_admin.group_lag(
            settings.kafka.bootstrap_servers,
            qualified(settings, group),
            [qualified(settings, topic) for topic in topics],
        )
        for group, topics in groups().items()
    }


def _new_key(settings: Settings, keys: Keys, path: Path | None) -> bytes:
    if path is None:
        if _file(settings) is None:
            raise ConfigurationError(
                "The bus key has a file or variable of its own, which this command does not "
                "write: give the new key with --new-key-file, and put it in place afterwards."
            )
        return secrets.token_bytes(32)
    try:
        new = bytes.fromhex(read_private(path).strip())
    except ValueError:
        new = b""
    if len(new) < 32 or new in (keys.bus, keys.store) or key_id(new) in keys.retired:
        raise ConfigurationError(
            f"{path} holds no new key: give 32 random bytes as hexadecimal text "
            "(`openssl rand -hex 32`), which were no key before."
        )
    return new


def _file(settings: Settings) -> Path | None:
    """The secrets file, if the bus key stands in it."""
    security = settings.security
    alone = security.bus_key is not None or security.bus_key_file is not None
    return None if alone else security.secrets_file


def _changing(file: Path | None) -> AbstractContextManager[dict[str, Any]]:
    return nullcontext({}) if file is None else changing(file)


def _put(table: dict[str, Any], keys: Keys, new: bytes, now: datetime) -> None:
    if table.get("bus_key") != keys.bus.hex():
        raise ConfigurationError("The secrets file was changed meanwhile; try again.")
    table["bus_key"] = new.hex()
    table.setdefault("retired", {})[keys.bus_id] = keys.bus.hex()
    table.setdefault("made", {})[key_id(new)] = now.isoformat(timespec="seconds")


def _entry(before: str, after: str, reason: str, actor: str, now: datetime) -> AuditEntry:
    return administration(
        "keys.bus", "key:bus", (("before", before), ("after", after)), reason, actor, now
    )


def administration(
    rule: str,
    subject: str,
    detail: tuple[tuple[str, str], ...],
    reason: str,
    actor: str,
    now: datetime,
) -> AuditEntry:
    """The entry of the audit chain that a key was changed: ids, no key."""
    return AuditEntry(
        entry_id=uuid.uuid4(),
        recorded_at=now,
        kind="administration",
        chain=HUB,
        actor=actor,
        organisation=HUB,
        decision="permit",
        rule=rule,
        purpose="administration",
        reason=reason,
        subject=subject,
        detail=detail,
    )
