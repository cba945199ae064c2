"""What `halyard doctor` says of sealing, on a real chain."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from halyard.cli import doctor_proof
from halyard.cli.doctor import _run
from halyard.settings import Settings
from tests.support.audit import COUNCIL, Chain, chain, entry
from tests.support.services import Database


class Doctor:
    """The check `sealer` on a chain, at the chain's time."""

    def __init__(self, made: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
        beats = made.settings.audit.model_copy(
            update={"heartbeat_seconds": 300.0, "checkpoint_dir": made.directory}
        )
        self.settings = made.settings.model_copy(update={"audit": beats})
        monkeypatch.setattr(doctor_proof, "system_clock", lambda: made.now)

    def __call__(self, settings: Settings | None = None) -> tuple[str, str]:
        """Result and text."""
        with ThreadPoolExecutor(1) as pool:  # a command has an event loop of its own
            found = pool.submit(
                _run, "sealer", doctor_proof.sealer, settings or self.settings
            ).result()
        return found.result, found.text


async def test_the_doctor_looks_at_sealing(
    sealed: Chain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Well; an export that is elsewhere; entries that wait; a sealer that signs no more."""
    doctor = Doctor(sealed, monkeypatch)
    assert doctor()[0] == "ok"
    away = doctor.settings.audit.model_copy(update={"checkpoint_dir": tmp_path / "none"})
    result, text = doctor(doctor.settings.model_copy(update={"audit": away}))
    assert (result, "has no checkpoints" in text) == ("failed", True)
    assert not (tmp_path / "none").exists()
    sealed.now += timedelta(minutes=20)
    result, text = doctor()
    assert (result, "the last checkpoint is 20 min old" in text) == ("failed", True)
    assert "halyard sealer" in text
    await sealed.append(entry(11))
    result, text = doctor()
    assert (result, text.startswith("1 entries wait for a seal")) == ("failed", True)


async def test_the_doctor_compares_the_newest_file_with_the_table(
    sealed: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that are signed and not exported; a stored line that is another; one that is none."""
    doctor = Doctor(sealed, monkeypatch)
    await sealed.append(entry(5, COUNCIL, recorded_at=sealed.now))
    await sealed.seal_some()
    sealed.now += timedelta(seconds=20)
    await sealed.sealer.checkpoint(force=True)
    assert doctor()[0] == "ok"  # signed a moment ago
    sealed.now += timedelta(minutes=3)
    result, text = doctor()
    assert (result, "1 checkpoints are signed and not exported" in text) == ("failed", True)
    await sealed.sealer.export()
    assert doctor()[0] == "ok"
    sealed.as_owner("update audit_checkpoints set line = line || ' ' where number = 4")
    assert "is not the one in the database" in doctor()[1]
    with sealed.files()[-1].open("a") as file:
        file.write("somebody was here\n")
    result, text = doctor()
    assert (result, "halyard audit verify" in text) == ("failed", True)


async def test_a_chain_without_entries_is_well(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a hub that has told nobody yet there is nothing to seal."""
    async with chain(database, tmp_path / "c") as made:
        assert Doctor(made, monkeypatch)()[0] == "ok"
