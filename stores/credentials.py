"""By what somebody comes in, and as whom: entries of the directory.

A role is a name here; the hub's door knows which there are. No entry holds a secret: tokens stand
by their digest, machines by their public keys.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from halyard.errors import ConfigurationError
from stores.entry import Entry, OrganisationCode

RoleName = Annotated[str, Field(pattern=r"^[a-z][a-z-]{1,40}$")]
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Members of a JWK that hold a private or shared key (RFC 7518)."""


class Credential(Entry):
    """A bearer token of an organisation, by its SHA-256 (hex): never the token itself. For
    practice: it is shared and never expires.
    """

    organisation: OrganisationCode
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    roles: tuple[RoleName, ...] | None = None  # default: those of systems of its organisation


class Client(Entry):
    """A machine that signs its own tokens, one for each request."""

    id: str = Field(pattern=r"^[A-Za-z0-9._:/-]{1,200}$")  # `iss` and `sub` of its tokens
    organisation: OrganisationCode
    roles: tuple[RoleName, ...] | None = None
    jwks: dict[str, Any] | None = Field(default=None, repr=False)  # public keys, RFC 7517
    jwks_file: str | None = None  # instead of `jwks`; beside the directory file, if not absolute
    # SHA-256 (hex) of certificates, one of which it must show with each token
    certificates: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = ()

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if (self.jwks is None) is (self.jwks_file is None):
            raise ValueError("give its public keys, as `jwks` or as `jwks_file`")
        return self


class RoleMap(Entry):
    """What a code in an issuer's token means here."""

    claim: str = Field(min_length=1, max_length=200)  # one value of the roles claim
    role: RoleName
    organisations: tuple[OrganisationCode, ...] = ()  # only there; default: everywhere


class Mailbox(Entry):
    """A MESH mailbox, and whose it is."""

    id: str = Field(pattern=r"^[A-Z0-9]{6,20}$")
    organisation: OrganisationCode


class KafkaPrincipal(Entry):
    """Who may connect to the bus by itself: a process of the hub (`stages`: names of writers and
    readers in the registry of topics), or an organisation's own consumer of topics.
    """

    principal: str = Field(pattern=r"^User:[^\s*]{1,200}$")
    organisation: OrganisationCode | None = None  # none: the hub's own
    stages: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")], ...] = Field(min_length=1)


Kind = Literal["hospital", "authority", "agency", "panel"]

_DEFAULT_ROLES: dict[Kind, str] = {
    "hospital": "hospital-system",
    "authority": "la-system",
    "agency": "agency-system",
    "panel": "panel-coordinator",
}


def default_roles(kinds: Collection[Kind]) -> frozenset[str]:
    """The roles of a system of an organisation that is all this."""
    return frozenset(_DEFAULT_ROLES[kind] for kind in kinds)


def with_keys(client: Client, directory_file: Path) -> Client:
    """`client` with its `jwks` read, if they stand in a file.

    Raises `ConfigurationError` for a file that cannot be read, and for keys that are not public.
    """
    document: Any = client.jwks
    if client.jwks_file is not None:
        place = directory_file.expanduser().parent / Path(client.jwks_file).expanduser()
        try:
            document = json.loads(place.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{directory_file}: client {client.id}: jwks_file cannot be read "
                f'({type(error).__name__}); it is a JSON file, {{"keys": […]}}.'
            ) from None
    keys = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(keys, list) or not keys:
        raise ConfigurationError(
            f'{directory_file}: client {client.id}: its keys are {{"keys": […]}} (RFC 7517).'
        )
    for key in keys:
        if not isinstance(key, Mapping) or not PRIVATE.isdisjoint(key):
            raise ConfigurationError(
                f"{directory_file}: client {client.id}: a key is not a public one; the machine "
                "keeps its private key to itself. Make a new pair, and give the public half."
            )
    return client.model_copy(update={"jwks": {"keys": keys}})


def check(
    path: Path,
    *,
    known: Collection[str],
    clients: Sequence[Client],
    maps: Sequence[RoleMap],
    mailboxes: Sequence[Mailbox],
    principals: Sequence[KafkaPrincipal],
    shared: Sequence[Credential] = (),
) -> None:
    """Raises `ConfigurationError` for an organisation that is not `known`, and for what is there
    twice: one credential is of one organisation.
    """
    named = [(f"client {one.id}", one.organisation) for one in clients]
    named += [(f"mailbox {one.id}", one.organisation) for one in mailboxes]
    named += [
        (one.principal, one.organisation) for one in principals if one.organisation is not None
    ]
    named += [(f"role_map {one.role}", code) for one in maps for code in one.organisations]
    for place, code in named:
        if code not in known:
            raise ConfigurationError(
                f"{path}: {place} names organisation {code}, which is not there; list it as a "
                "hospital, authority, agency or panel."
            )
    for kind, names in (
        ("clients", [one.id for one in clients]),
        ("mailboxes", [one.id for one in mailboxes]),
        ("Kafka principals", [one.principal for one in principals]),
        ("shared tokens", [one.sha256 for one in shared]),
    ):
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigurationError(f"{path}: {kind} listed twice: {', '.join(twice)}.")
    alike = _same_key(clients)
    if alike is not None:
        raise ConfigurationError(
            f"{path}: clients {alike[0]} and {alike[1]} have a key in common: each could sign as "
            "the other. Give each its own."
        )


def _same_key(clients: Sequence[Client]) -> tuple[str, str] | None:
    """Two clients with the same public key, if any."""
    owners: dict[tuple[Any, ...], Client] = {}
    for client in clients:
        for key in (client.jwks or {"keys": []})["keys"]:
            material = tuple(str(key.get(part)) for part in ("kty", "crv", "n", "e", "x", "y"))
            other = owners.setdefault(material, client)
            if other.id != client.id:
                return other.id, client.id
    return None
