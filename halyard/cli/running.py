"""How commands find the system that `halyard up` runs, by the addresses in its data directory; and
what is said where it does not run.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from halyard.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    HalyardError,
    NoDirectory,
    TransientError,
)

_ELSEWHERE = ("HALYARD_CONFIG", "HALYARD_DATABASE__", "HALYARD_KAFKA__", "HALYARD_SECURITY__")

# What this process has found: the directory, and whether it had addresses; None: it has not looked
_looked: tuple[Path, bool] | None = None
_named = False  # whether the environment named a hub before that


class HubNotRunning(TransientError):
    """The hub is not running; start it with `halyard up`."""


def running_system(data_dir: Path) -> bool:
    """Take the addresses of a system that `halyard up` runs, where none are given."""
    global _looked, _named
    place = data_dir.expanduser()
    _named = _named or (_looked is None and _names_a_hub())
    try:
        text = (place / "addresses.env").read_text()
    except OSError:
        _looked = (place, False)
        return False
    _looked = (place, True)
    for line in text.splitlines():
        key, _, value = line.partition("=")
        os.environ.setdefault(key, value)
    return True


def explained(error: HalyardError) -> HalyardError:
    """`error`, or that the hub is not running where that is what it comes to.

    Only for a command that looked for a system of `halyard up` (`running_system`) and was not told
    of another by its environment: there the reason that is given is the reason.
    """
    if _looked is None or _named or not _away(error):
        return error
    place, found = _looked
    if found:
        return HubNotRunning(
            f"The hub is not running, or does not answer at the addresses in {place}: start it "
            f"with `halyard up`. {error.message}"
        )
    return not_running() or error


def not_running() -> HubNotRunning | None:
    """That there is no hub to ask, as far as that can be seen without asking: no addresses, and no
    setting that names another. None before `running_system`.
    """
    if _looked is None or _looked[1] or _names_a_hub():
        return None
    return HubNotRunning(
        f"The hub is not running (its data directory {_looked[0]} has no addresses): start it "
        "with `halyard up`, or name the settings of one that runs with HALYARD_CONFIG."
    )


def _names_a_hub() -> bool:
    return any(name.startswith(_ELSEWHERE) for name in os.environ)


def _away(error: HalyardError) -> bool:
    from halyard.privacy import NoSecrets  # `halyard --help` pays for no settings

    if isinstance(error, DatabaseUnavailable):
        return "no connection" in error.message
    return isinstance(error, NoSecrets | NoDirectory | BrokerUnavailable)


def quiet_driver() -> None:
    """Keep the database driver's own words (addresses, sockets) off standard error: each failure
    ends in a sentence of ours. Processes that log take them as they take all (`telemetry`).
    """
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
