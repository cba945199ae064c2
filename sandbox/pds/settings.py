"""How the practice PDS behaves: who may ask, how much, and what is wrong from the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from joserfc.jwk import KeySet

from sandbox.pds.faults import Faults, read_faults

__all__ = ["Faults", "PdsSandboxSettings", "read_faults"]

TOKEN_SECONDS = 599  # as the platform says


@dataclass(frozen=True, slots=True)
class PdsSandboxSettings:
    """`token`: a static bearer token that is taken as well; None takes none.

    `apps`: the public keys of registered applications by API key; they get tokens at
    ``/oauth2/token``, good for `token_seconds`. With neither token nor applications nobody is
    asked for credentials.
    `calls_per_second`: the ration, 429 beyond it; None for no limit (the real default is 5).
    `restricted_mode`: as an application without a user has it: one result at most.
    `organisation_required`: a call must say for whom, in NHSD-End-User-Organisation-ODS.
    `faults`: in force from the start, and again after a reset.
    """

    token: str | None = field(default="practice-token", repr=False)
    calls_per_second: int | None = None
    restricted_mode: bool = True
    # As many calls are told apart by their X-Request-ID; older ones count anew
    remembered_calls: int = 50_000
    apps: Mapping[str, KeySet] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    token_seconds: int = TOKEN_SECONDS
    organisation_required: bool = False
    faults: Faults = field(default_factory=Faults)
