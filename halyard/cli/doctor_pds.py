"""What `halyard doctor` finds of PDS: the key, the access token, and whether PDS answers."""

from __future__ import annotations

import asyncio
import uuid
from typing import Final

from connectors.pds.client import PdsClient
from connectors.pds.outcomes import TokenRefused, Unavailable
from connectors.pds.tokens import Bearer, TokenFailure, Tokens
from halyard.cli.doctor_proof import Result
from halyard.nhs_number import profile_for
from halyard.settings import Profile, Settings
from stores.directory import load_directory
from streams.tracer.clients import UNNAMED

_WHICH: Final = {
    "iss": "HALYARD_PDS__API_KEY is not that of a registered application",
    "sub": "HALYARD_PDS__API_KEY is not that of a registered application",
    "kid": "no public key is registered under HALYARD_PDS__KEY_ID",
    "aud": "HALYARD_PDS__TOKEN_URL must be written exactly as the platform states it",
    "exp": "the clock of this machine is wrong",
    "jti": "the platform had seen the token's id before",
    "signature": (
        "HALYARD_PDS__PRIVATE_KEY_FILE is not the key whose public half is registered under "
        "HALYARD_PDS__KEY_ID"
    ),
    "alg": "the platform does not take RS512",
}
_ASKED_BITS: Final = 4_096

Found = tuple[Result, str]


def pds(settings: Settings) -> Found:
    """That an access token can be had, and that PDS takes it; nobody is asked about.

    Its call and its request for a token are outside the ration, which the tracers share in the
    database: doctor tells of PDS also where that is away.
    """
    if not settings.pds.signs and settings.pds.token is None:
        found: Result = "failed" if settings.profile is Profile.PRODUCTION else "warning"
        return found, (
            "nothing to show PDS: set HALYARD_PDS__TOKEN_URL and what belongs to it "
            "(docs/howto/connect-to-pds.md)"
        )
    return asyncio.run(_look(settings))


async def _look(settings: Settings) -> Found:
    production = settings.profile is Profile.PRODUCTION
    tokens = Tokens.of(settings.pds, production=production)
    try:
        if tokens is not None:
            bearer = await tokens.bearer()
            if not isinstance(bearer, Bearer):
                return _no_token(bearer)
        return await _asked(settings, tokens)
    finally:
        if tokens is not None:
            await tokens.aclose()


async def _asked(settings: Settings, tokens: Tokens | None) -> Found:
    fixed = settings.pds.token if tokens is None else None
    own = settings.pds.organisation
    async with PdsClient(
        settings.pds.base_url,
        token=fixed.get_secret_value() if fixed else None,
        tokens=tokens,
        end_user_organisation=own or UNNAMED,
        profile=profile_for(settings.profile),
        timeout_seconds=settings.pds.timeout_seconds,
    ) as client:
        outcome = await client.check(uuid.uuid4())
    if isinstance(outcome, TokenRefused):
        return "failed", (
            "PDS refuses the access token: has the application access to this API, and is "
            "HALYARD_PDS__BASE_URL of the same environment as HALYARD_PDS__TOKEN_URL?"
        )
    if isinstance(outcome, Unavailable):
        return "warning", f"PDS does not answer ({outcome.rule}); what must be traced waits"
    if outcome is not None:
        return "warning", (
            f"PDS answers with something else ({outcome.rule}); is HALYARD_PDS__BASE_URL right?"
        )
    return _named(settings, tokens)


def _named(settings: Settings, tokens: Tokens | None) -> Found:
    how = "a fixed token" if tokens is None else "a signed JWT"
    if settings.pds.organisation is None and settings.profile is Profile.PRODUCTION:
        return "failed", "set HALYARD_PDS__ORGANISATION, the ODS code of the hub's organisation"
    if (
        tokens is not None
        and tokens.key_bits < _ASKED_BITS
        and settings.profile is Profile.PRODUCTION
    ):
        return "warning", (
            f"the key has {tokens.key_bits} bits; the platform asks for {_ASKED_BITS}"
        )
    directory = load_directory(settings.directory_file)
    unnamed = sorted(one.gss for one in directory.authorities.values() if one.ods is None)
    own = settings.pds.organisation or UNNAMED
    tail = f"; for {', '.join(unnamed)}, without `ods`, it is asked as {own}" if unnamed else ""
    return "ok", f"PDS answers and takes {how}{tail}"


def _no_token(failure: TokenFailure) -> Found:
    if isinstance(failure, Unavailable):
        return "warning", (
            f"no access token can be had ({failure.rule}): what must be traced waits. Check that "
            "HALYARD_PDS__TOKEN_URL is right and can be reached from here"
        )
    which = _WHICH.get(failure.rule.rpartition(".")[2], "look at HALYARD_PDS__TOKEN_URL")
    return "failed", f"no access token is given ({failure.rule}): {which}"
