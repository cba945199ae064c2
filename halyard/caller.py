"""Who asks: what the edge knows of a request before any route sees it, and whom it has admitted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Credential = Literal["access-token", "machine-token", "session", "practice-token"]
"""How a caller has shown who it is: a token of the OIDC issuer; a token that a machine has signed
itself, good for one request; a browser's session; a shared token of practice systems."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request before it is admitted: its head alone, nothing of its body."""

    method: str
    path: str = field(repr=False)  # paths that NHS interfaces fix may hold a number
    authorization: str | None = field(default=None, repr=False)
    cookie: str | None = field(default=None, repr=False)
    origin: str | None = None
    csrf_token: str | None = field(default=None, repr=False)
    address: str = ""  # of the peer
    certificate: str | None = None  # SHA-256 (hex) of the client certificate, if TLS ended nearby
    # Whether its address has failed too often by now: then nothing costly is looked up for it
    suspect: Callable[[], bool] = field(default=lambda: False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, for which organisation, in which roles. Roles are opaque to the kernel."""

    organisation: str  # ODS or GSS code
    subject: str  # stable id of person or client within its issuer: "user:…", "client:…"
    roles: frozenset[str] = frozenset()
    person: bool = False  # a human being, not a system
    name: str | None = field(default=None, repr=False)  # of a person, as the issuer states it
    job_role: str | None = None  # of a person, as the issuer states it (SDS job role)
    credential: Credential = "practice-token"
    token_id: str | None = None  # at most the last 32 characters (IHE BALP)
    expires_at: datetime | None = None
    # Its token is good once, and nobody can say now whether another process has let it in before
    unchecked: bool = False


Authenticate = Callable[[Attempt], Awaitable[Caller | None]]
"""Gives who asks; None if the request shows nobody. Raises `halyard.problems.HttpProblem` with what
is wrong with what it shows (401), or why that cannot be checked now (503)."""
