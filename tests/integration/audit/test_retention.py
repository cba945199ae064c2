"""Old entries may go when a signed checkpoint has stated it, and no others."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr

from halyard.cli import retention as command
from halyard.settings import SecuritySettings
from stores import months
from stores.audit_seals import Droppable
from streams.audit import retention
from streams.audit.retention import NotSealed
from tests.support.audit import COUNCIL, HOSPITAL, KEY, NOW, Chain, entry


async def state(chain: Chain, seconds: float) -> list[Droppable]:
    """State that entries up to so many seconds go, and export it."""
    found = await retention.state(
        chain.sealing,
        chain.sealer.signer,
        before=NOW + timedelta(seconds=seconds),
        now=chain.now,
        actor="cli:test",
        entry_id=uuid.uuid4(),
    )
    await chain.seal_all()
    return found


def drop(chain: Chain, seconds: float) -> None:
    """What dropping a month does."""
    at = NOW + timedelta(seconds=seconds)
    chain.as_owner(f"delete from audit_entries where recorded_at < '{at.isoformat()}'")


async def test_a_chain_verifies_from_what_retention_kept(sealed: Chain) -> None:
    """The oldest entries go after a signed statement; the rest verifies, and those are counted."""
    going = await state(sealed, 3.5)
    assert [(one.chain, one.first_kept, one.dropped) for one in going] == [
        (COUNCIL, 4, 3),
        (HOSPITAL, 4, 3),
    ]
    found = await sealed.verify()
    assert (found.ok, found.stated) == (True, 6)  # and still there
    drop(sealed, 3.5)
    found = await sealed.verify()
    assert (found.findings, found.dropped, found.stated) == ((), 6, 0)


async def test_more_than_was_stated_may_not_go(sealed: Chain) -> None:
    """An entry beyond the statement is missed; so is one put among what went."""
    await state(sealed, 3.5)
    drop(sealed, 4.5)
    assert await sealed.kinds() == {("missing", HOSPITAL, 4), ("missing", COUNCIL, 4)}


async def test_entries_that_went_without_a_statement_are_missed(sealed: Chain) -> None:
    """Dropping alone is a deletion like any other."""
    drop(sealed, 2.5)
    assert ("missing", HOSPITAL, 1) in await sealed.kinds()


async def test_a_statement_may_be_followed_by_another(sealed: Chain) -> None:
    """Each later one holds for everything before it too."""
    await state(sealed, 1.5)
    drop(sealed, 1.5)
    await state(sealed, 3.5)
    drop(sealed, 3.5)
    assert (await sealed.verify()).ok


async def test_nothing_is_stated_of_what_is_not_sealed(sealed: Chain) -> None:
    """An entry without a place would go without a trace."""
    await sealed.append(entry(0))
    with pytest.raises(NotSealed):
        await retention.state(
            sealed.sealing,
            sealed.sealer.signer,
            before=NOW + timedelta(seconds=3),
            now=sealed.now,
            actor="cli:test",
            entry_id=uuid.uuid4(),
        )


async def test_a_month_that_retention_drops_is_stated_first(
    sealed: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`halyard retention apply` signs what goes of the chain, then drops the month: it verifies."""
    url = sealed.database.owner_url
    async with (
        await psycopg.AsyncConnection.connect(
            url, autocommit=True, row_factory=dict_row, options="-c search_path=halyard"
        ) as owner,
        owner.transaction(),
    ):
        await months.make(owner, "audit_entries", NOW.date().replace(day=1))
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(f'[audit]\ncurrent = "test"\ntest = "{KEY.private_bytes_raw().hex()}"\n')
    secrets.chmod(0o600)
    settings = sealed.settings.model_copy(
        update={
            "security": SecuritySettings(secrets_file=secrets),
            "database": sealed.settings.database.model_copy(update={"owner_url": SecretStr(url)}),
            "audit": sealed.settings.audit.model_copy(update={"checkpoint_dir": sealed.directory}),
        }
    )
    monkeypatch.setattr(command, "system_clock", lambda: NOW + timedelta(days=40 * 365))
    done = await command._apply(settings, "test", frozenset({"audit"}))
    assert done.ended["audit"] == 14
    assert months.name("audit_entries", NOW.date().replace(day=1)) in done.dropped
    sealed.now = NOW + timedelta(days=40 * 365)
    await sealed.seal_all()
    found = await sealed.verify()
    assert (found.findings, found.dropped) == ((), 14)
