"""How the checks of `halyard doctor` reach a database: one that is silent is waited for once."""

from __future__ import annotations

from typing import Final, Literal

import psycopg

from halyard.errors import DatabaseUnavailable
from halyard.postgres import Pool, make_pool
from halyard.settings import Settings

Schema = Literal["halyard", "ncmd"]

KNOCK_SECONDS: Final = 5
_SETTINGS: Final[dict[Schema, str]] = {
    "halyard": "HALYARD_DATABASE__URL",
    "ncmd": "HALYARD_NCMD__DATABASE_URL",
}


class Doorstep:
    """What was found at each database's address in this run of `halyard doctor`."""

    def __init__(self) -> None:
        self._found: dict[str, str | None] = {}  # why it does not answer; None: it does

    def forget(self) -> None:
        """Begin a run."""
        self._found.clear()

    def knock(self, settings: Settings, schema: Schema = "halyard") -> None:
        """Raises `DatabaseUnavailable` if the database does not answer: the first time after
        `KNOCK_SECONDS` at the latest, then at once. A pool would go on trying for longer.
        """
        secret = settings.database.url if schema == "halyard" else settings.ncmd.database_url
        url = secret.get_secret_value()
        if url not in self._found:
            self._found[url] = None
            try:
                psycopg.connect(url, connect_timeout=KNOCK_SECONDS).close()
            except psycopg.OperationalError as error:
                self._found[url] = type(error).__name__
        if (why := self._found[url]) is not None:
            raise DatabaseUnavailable(
                f"PostgreSQL does not answer ({why}); check {_SETTINGS[schema]} and that it runs"
            )


DOORSTEP: Final = Doorstep()


def doctor_pool(settings: Settings, schema: Schema = "halyard") -> Pool:
    """A pool for one check. Raises `DatabaseUnavailable`, at once if that was found before."""
    DOORSTEP.knock(settings, schema)
    return make_pool(settings, name="doctor", size=1, schema=schema)
