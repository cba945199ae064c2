"""The door: who is let in, by which credential."""

from __future__ import annotations

from halyard.caller import Attempt, Authenticate, Caller
from halyard.http_edge import bearer
from stores.directory import Directory


def practice_tokens(directory: Directory) -> Authenticate:
    """Admits whoever shows a shared token of the directory, as a system of its organisation."""

    async def authenticate(attempt: Attempt) -> Caller | None:
        token = bearer(attempt)
        found = None if token is None else directory.organisation_of(token)
        return None if found is None else Caller(organisation=found, subject=f"token:{found}")

    return authenticate
