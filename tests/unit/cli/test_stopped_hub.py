"""A command against a hub that does not run says that, and how to start it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from halyard.cli.doctor_database import Doorstep
from halyard.errors import DatabaseUnavailable
from halyard.settings import DatabaseSettings, Settings

SOON = {"HALYARD_DATABASE__POOL_TIMEOUT_SECONDS": "1"}
PAUSE = ("pause", "matching", "--reason", "practice")
COMMANDS = (
    ("trace-person", "--for", "RX901", "--by", "Kim", "--reason", "practice"),
    ("trace-batch", "status"),
    ("audit", "verify"),
    ("worklist", "list", "--organisation", "RX901"),
    PAUSE,
)


def halyard(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The command as a person runs it, with no setting but its data directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HALYARD_")}
    return subprocess.run(
        [sys.executable, "-m", "halyard.cli.main", *arguments],
        env=kept | {"HALYARD_DATA_DIR": str(home / "none"), **more},
        input='{"family": "A", "given": "B", "birth_date": "2015-01-01"}',
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one[0])
def test_one_sentence_says_that_it_does_not_run(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Nothing of secrets, sockets or drivers; exit code 4: a service is away."""
    done = halyard(tmp_path, *command)
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("halyard: The hub is not running (its data directory ")
    assert "start it with `halyard up`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_doctor_finds_it_at_once(tmp_path: Path) -> None:
    """It waits for no part of what does not run."""
    done = halyard(tmp_path, "doctor")
    assert (done.returncode, done.stderr) == (1, "")
    last = done.stdout.splitlines()[-1].split(maxsplit=2)
    assert last[:2] == ["failed", "hub"]
    assert last[2].startswith("The hub is not running")


def test_who_names_a_hub_is_told_what_is_wrong_with_it(tmp_path: Path) -> None:
    """With settings of its own the reason is the reason, without the driver's words."""
    url = "postgresql://nobody@127.0.0.1:1/none"
    done = halyard(tmp_path, *PAUSE, HALYARD_DATABASE__URL=url, **SOON)
    assert done.returncode == 4
    assert done.stderr.startswith("halyard: PostgreSQL did not complete")
    assert len(done.stderr.splitlines()) == 1


def test_addresses_that_nothing_answers_at_are_a_hub_that_broke_off(tmp_path: Path) -> None:
    """A killed `halyard up` leaves them."""
    place = tmp_path / "none"
    place.mkdir()
    url = "postgresql://nobody@127.0.0.1:1/none"
    (place / "addresses.env").write_text(
        f"HALYARD_DATABASE__URL={url}\nHALYARD_DATABASE__POOL_TIMEOUT_SECONDS=1\n"
    )
    done = halyard(tmp_path, *PAUSE)
    assert done.returncode == 4
    assert done.stderr.startswith("halyard: The hub is not running, or does not answer at the addr")
    assert "PostgreSQL did not complete" in done.stderr  # it may be up, and refuse


def test_the_doctor_waits_once_for_a_database_that_is_away(tmp_path: Path) -> None:
    """Each check says so; only the first has waited, or the command would take minutes."""
    place = tmp_path / "none"
    place.mkdir()
    url = "postgresql://nobody@127.0.0.1:1/none"
    (place / "addresses.env").write_text(
        f"HALYARD_DATABASE__URL={url}\nHALYARD_NCMD__DATABASE_URL={url}\n"
        "HALYARD_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:1\n"
    )
    secrets = {"HALYARD_SECURITY__BUS_KEY": "00" * 32, "HALYARD_SECURITY__STORE_KEY": "11" * 32}
    done = halyard(tmp_path, "doctor", **secrets)
    assert (done.returncode, done.stderr) == (1, "")
    away = [one for one in done.stdout.splitlines() if "does not answer" in one]
    told = [one.split(maxsplit=2)[1] for one in away]
    assert {"database", "stages", "deliveries", "outbox", "index", "worklist", "ncmd"} <= set(told)


def test_a_silent_database_is_knocked_at_once_in_a_run(tmp_path: Path) -> None:
    """The second check does not connect; a new run does."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none?connect_timeout=2"
        settings = Settings(database=DatabaseSettings(url=SecretStr(url)))
        knocks = 0

        def hang_up() -> None:
            nonlocal knocks
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = silent.accept()
                    knocks += 1  # before the knocker can hear of it
                    peer.close()

        threading.Thread(target=hang_up, daemon=True).start()
        doorstep = Doorstep()
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable, match="HALYARD_DATABASE__URL"):
                doorstep.knock(settings)
        once = knocks
        doorstep.forget()
        with pytest.raises(DatabaseUnavailable):
            doorstep.knock(settings)
        assert knocks == 2 * once > 0


def test_old_addresses_hide_nothing_of_a_hub_that_the_environment_names(tmp_path: Path) -> None:
    """Somebody who asks production is not told to start a practice hub."""
    place = tmp_path / "none"
    place.mkdir()
    (place / "addresses.env").write_text("HALYARD_API__URL=http://127.0.0.1:1\n")
    url = "postgresql://nobody@127.0.0.1:1/none"
    done = halyard(tmp_path, *PAUSE, HALYARD_DATABASE__URL=url, **SOON)
    assert done.returncode == 4
    assert done.stderr.startswith("halyard: PostgreSQL did not complete")
