"""What each version of a policy said when it was first used, so that no two contents ever stand
under one version number: a ruling in the audit chain names policy and version, not the content.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from halyard import telemetry
from halyard.errors import ConfigurationError, HalyardError
from halyard.postgres import Connection, Pool, transaction
from policies.model import Policies, Policy
from policies.reading import wrong
from stores import policy_versions

_PATIENCE_SECONDS: Final = 2.0

log = telemetry.get_logger()


def digest(policy: Policy) -> bytes:
    """SHA-256 of what a version says: comments, layout, the order of its members and defaults that
    are written out make no difference; nor does `end`, which a version gets when it is replaced.
    """
    said = policy.model_dump(mode="json", by_alias=True, exclude={"end"}, exclude_defaults=True)
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).digest()


async def changed(connection: Connection, policies: Policies) -> list[Policy]:
    """Those whose version was first used with another content."""
    known = await policy_versions.known(connection)
    return [
        one for one in policies.all if known.get((one.id, one.version), digest(one)) != digest(one)
    ]


async def keep(connection: Connection, policies: Policies, at: datetime) -> None:
    """Write down the versions that are used for the first time.

    Raises `ConfigurationError` for the first that was used with another content.
    """
    await policy_versions.add(
        connection, {(one.id, one.version): digest(one) for one in policies.all}, at
    )
    refuse(policies, await changed(connection, policies))


def refuse(policies: Policies, edited: Iterable[Policy]) -> None:
    """Raises `ConfigurationError` for the first of `edited`."""
    for one in edited:
        raise wrong(
            policies.files.get((one.id, one.version), one.id),
            "",
            "policy.version-edited",
            f"version {one.version} of {one.id} was used with another content before; put that "
            f"back, and give what is new a higher version ({one.version + 1})",
        )


async def at_start(pool: Pool, policies: Policies, at: datetime) -> None:
    """`keep`, for a process that starts. A database that does not answer is waited for a moment;
    then the process starts all the same, and its log says that nothing was compared.

    Raises `ConfigurationError` as `keep`.
    """
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS), transaction(pool) as connection:
            await keep(connection, policies, at)
    except ConfigurationError:
        raise
    except (HalyardError, TimeoutError) as error:
        log.warning("policy_versions_not_compared", error=telemetry.describe(error))
