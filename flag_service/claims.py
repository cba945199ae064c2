"""Whom the claims of an issuer's token mean here: organisation, roles, person. Pure.

The directory decides: an organisation that it does not know comes in by no token, and a code of the
issuer that it does not map gives no right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from halyard.caller import Caller
from halyard.settings_access import AccessSettings
from halyard.tokens import refused, text_claim
from stores.credentials import RoleMap
from stores.directory import Directory

_LONGEST_SUBJECT = 200
_LONGEST_ID = 256
_LONGEST_NAME = 200
_MANY_ROLES = 200


def caller_of(
    claims: Mapping[str, Any],
    directory: Directory,
    settings: AccessSettings,
    *,
    logged_in: bool = False,
) -> Caller:
    """Who it is. The claims must be those of a token that holds; `logged_in`: of an ID token, which
    an issuer gives for somebody who has logged in and for nobody else.

    Whoever is not shown to be a person is a system. Raises `HttpProblem` 401:
    ``token.organisation``, ``token.claims``.
    """
    subject = text_claim(claims, "sub", _LONGEST_SUBJECT)
    organisation = claim_of(claims, settings.organisation_claim)
    if not isinstance(organisation, str) or not directory.kinds_of(organisation):
        raise refused("token.organisation")
    codes = _codes(claim_of(claims, settings.roles_claim))
    # who got a token for itself (RFC 9068 section 2.2) is a system, whatever else it says
    for_itself = subject in (claims.get("client_id"), claims.get("azp"))
    person = not for_itself and (logged_in or is_marked_as_person(claims, settings))
    return Caller(
        organisation=organisation,
        subject=f"user:{subject}" if person else f"client:{subject}",
        roles=roles_of(codes, directory.role_maps, organisation),
        person=person,
        name=_shown(claim_of(claims, settings.name_claim)),
        job_role=_shown(claim_of(claims, settings.job_role_claim)),
        credential="access-token",
        token_id=token_id_of(claims),
        expires_at=expires_of(claims),
    )


def is_marked_as_person(claims: Mapping[str, Any], settings: AccessSettings) -> bool:
    """Whether the claim that marks a person has its value. If none is set: whether it says when
    somebody logged in (`auth_time`), which issuers leave out for a system, or say 0.
    """
    if settings.person_claim is not None:
        found = claim_of(claims, settings.person_claim)
        return isinstance(found, str) and found == settings.person_value
    at = claims.get("auth_time")
    return isinstance(at, int | float) and not isinstance(at, bool) and at > 0


def claim_of(claims: Mapping[str, Any], name: str) -> object:
    """A claim by its name, or by the path to it (``realm_access.roles``); None if not there."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def roles_of(codes: Sequence[str], maps: Sequence[RoleMap], organisation: str) -> frozenset[str]:
    """The roles that an issuer's codes mean in an organisation."""
    return frozenset(
        one.role
        for one in maps
        if one.claim in codes and (not one.organisations or organisation in one.organisations)
    )


def roles_mapped(maps: Sequence[RoleMap], organisation: str) -> frozenset[str]:
    """The roles that anybody's codes can mean in an organisation."""
    return roles_of([one.claim for one in maps], maps, organisation)


def token_id_of(claims: Mapping[str, Any]) -> str | None:
    """The end of a token's id (IHE BALP: at most 32 characters)."""
    given = claims.get("jti")
    if not isinstance(given, str) or not 0 < len(given) <= _LONGEST_ID or not given.isprintable():
        return None
    return given[-32:]


def expires_of(claims: Mapping[str, Any]) -> datetime | None:
    """When the token ends."""
    given = claims.get("exp")
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    try:
        return datetime.fromtimestamp(given, UTC)
    except (OverflowError, ValueError, OSError):
        return None  # no time that a calendar has


def _codes(given: object) -> tuple[str, ...]:
    """A list of codes, or a text of codes with spaces between."""
    if isinstance(given, str):
        given = given.split()
    if not isinstance(given, list) or len(given) > _MANY_ROLES:
        return ()
    return tuple(one for one in given if isinstance(one, str))


def _shown(given: object) -> str | None:
    """A text that can be shown to others; anything else is as if it was not there."""
    if not isinstance(given, str) or not 0 < len(given) <= _LONGEST_NAME:
        return None
    return given if given.isprintable() else None
