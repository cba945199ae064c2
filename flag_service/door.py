"""The door: who is let in, by which credential.

Four credentials open it: an access token of the issuer (good until it expires), a token that a
machine has signed itself (good for one request), a browser's session, and a shared token of
practice systems. Nothing else does, and a failure to check is no admission.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from flag_service.claims import caller_of, token_id_of
from flag_service.roles import OF_PEOPLE, Role
from halyard import metrics, tokens
from halyard.caller import Attempt, Authenticate, Caller
from halyard.clock import Clock
from halyard.errors import ConfigurationError
from halyard.http_edge import bearer
from halyard.issuer import Issuer, make_issuer
from halyard.jwks import PublicKey, read_keys
from halyard.postgres import Pool
from halyard.problems import HttpProblem
from halyard.settings import Profile, Settings
from halyard.settings_access import AccessSettings
from halyard.tokens import Rules, Token, refused
from stores.credentials import Client, default_roles
from stores.directory import Directory
from stores.used_tokens import UsedTokens

MACHINE_SECONDS: Final = 300
"""The longest life of a token that opens one request."""
_CACHED: Final = 10_000
_LONGEST_ID: Final = 256


@dataclass(frozen=True, slots=True)
class _Machine:
    client: Client
    keys: tuple[PublicKey, ...]
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Known:
    """An access token that was found to hold."""

    caller: Caller
    expires: float  # unix time, skew included
    bound: str | None  # to the certificate with this SHA-256 (hex)
    generation: int  # of the issuer's keys


class Door:
    """Lets in who shows a credential that holds. Made by `make_door`."""

    def __init__(
        self,
        settings: AccessSettings,
        directory: Directory,
        clock: Clock,
        *,
        issuer: Issuer | None,
        used: UsedTokens,
        practice: Authenticate | None,
        sessions: Authenticate | None,
    ) -> None:
        self.issuer = issuer
        self.sessions = sessions
        self._settings = settings
        self._directory = directory
        self._clock = clock
        self._used = used
        self._practice = practice
        self._machines = machines_of(directory)
        algorithms = frozenset(settings.algorithms)
        skew = settings.clock_skew_seconds
        self._of_issuer = Rules(settings.audience, algorithms, skew, settings.longest_token_seconds)
        self._of_machines = Rules(settings.audience, algorithms, skew, MACHINE_SECONDS)
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def __call__(self, attempt: Attempt) -> Caller | None:
        """Who asks; None if the request shows nobody. Raises `HttpProblem` (401, 403, 503)."""
        try:
            caller = await self._admitted(attempt)
        except HttpProblem as problem:
            metrics.count("halyard_authentications_total", credential="none", result=problem.rule)
            raise
        metrics.count(
            "halyard_authentications_total",
            credential="none" if caller is None else caller.credential,
            result="http.unauthenticated" if caller is None else "admitted",
        )
        return caller

    async def watch(self, stopping: asyncio.Event) -> None:
        """Keep the issuer's keys fresh, and forget tokens that have expired, until `stopping`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._used.watch(stopping), name="used-tokens-forgotten")
            if self.issuer is not None:
                tasks.create_task(self.issuer.watch(stopping), name="issuer-keys")

    async def _admitted(self, attempt: Attempt) -> Caller | None:
        if attempt.authorization is None:
            return None if self.sessions is None else await self.sessions(attempt)
        text = bearer(attempt)
        if text is None:
            return None
        if self._practice is not None:
            caller = await self._practice(attempt)
            if caller is not None:
                return caller
        if not tokens.looks_like_one(text):
            return None
        digest = hashlib.sha256(text.encode()).digest()
        if (known := await self._still_known(digest)) is not None:
            tokens.check_certificate(known.bound, attempt.certificate)
            return known.caller
        token = tokens.read(text)
        if self.issuer is not None and token.issuer == self.issuer.name:
            return await self._by_issuer(self.issuer, token, digest, attempt)
        machine = self._machines.get(token.issuer or "")
        if machine is None:
            raise refused("token.issuer")
        return await self._by_machine(machine, token, attempt)

    async def _by_issuer(
        self, issuer: Issuer, token: Token, digest: bytes, attempt: Attempt
    ) -> Caller:
        keys = await issuer.keys_for(token.kid)
        generation = issuer.generation
        tokens.verify(token, keys, self._of_issuer, self._now())
        bound = tokens.bound_to(token)
        tokens.check_certificate(bound, attempt.certificate)
        caller = caller_of(token.claims, self._directory, self._settings)
        expires = tokens.expiry(token) + self._of_issuer.skew
        self._known[digest] = _Known(caller, expires, bound, generation)
        if len(self._known) > _CACHED:
            self._known.popitem(last=False)
        return caller

    async def _still_known(self, digest: bytes) -> _Known | None:
        """What was found of this very token, while its keys are the issuer's."""
        known = self._known.get(digest)
        if known is None or self.issuer is None:
            return None
        await self.issuer.keys()  # or 503: they are too old to vouch for anybody
        if known.expires <= self._now() or known.generation != self.issuer.generation:
            self._known.pop(digest, None)
            return None
        return known

    async def _by_machine(self, machine: _Machine, token: Token, attempt: Attempt) -> Caller:
        client = machine.client
        tokens.verify(token, machine.keys, self._of_machines, self._now())
        if token.claims.get("sub") != client.id:
            raise refused("token.claims")
        bound = tokens.bound_to(token)
        tokens.check_certificate(bound, attempt.certificate)
        if client.certificates and attempt.certificate not in client.certificates:
            raise refused("token.certificate")
        token_id = tokens.text_claim(token.claims, "jti", _LONGEST_ID)
        expires = tokens.expiry(token)
        until = datetime.fromtimestamp(expires + self._of_machines.skew, UTC)
        unchecked = await self._use(client.id, token_id, until)
        return Caller(
            organisation=client.organisation,
            subject=f"client:{client.id}",
            roles=machine.roles,
            credential="machine-token",
            token_id=token_id_of(token.claims),
            expires_at=datetime.fromtimestamp(expires, UTC),
            unchecked=unchecked,
        )

    async def _use(self, client: str, token_id: str, until: datetime) -> bool:
        """The last check: a token that is refused for anything else was not used. Gives whether
        that is this process's word alone.
        """
        use = await self._used.use(client, token_id, until)
        if use == "used":
            raise refused("token.replayed")
        if use == "full":
            raise use_unknown()
        return use == "unchecked"

    def _now(self) -> float:
        return self._clock().timestamp()


def use_unknown() -> HttpProblem:
    """What is answered where a token good for one request may have been used before."""
    return HttpProblem(
        503,
        "Tokens cannot be checked now",
        "Nobody can say whether it was used before. Sign a new one and try again.",
        rule="token.use_unknown",
        headers={"Retry-After": "5"},
    )


def practice_tokens(directory: Directory) -> Authenticate:
    """Admits whoever shows a shared token of the directory, as a system of its organisation."""
    shared = {one.sha256: one for one in directory.credentials}

    async def authenticate(attempt: Attempt) -> Caller | None:
        token = bearer(attempt)
        if token is None:
            return None
        # looked up by its digest: how long that takes says nothing of any token
        found = shared.get(hashlib.sha256(token.encode()).hexdigest())
        if found is None:
            return None
        return Caller(
            organisation=found.organisation,
            subject=f"token:{found.organisation}",
            roles=roles_given(found.roles, directory, found.organisation),
            token_id=found.sha256[-32:],
        )

    return authenticate


def roles_given(
    named: Iterable[str] | None, directory: Directory, organisation: str
) -> frozenset[str]:
    """The roles of a system that the directory lists: those named, else its organisation's own."""
    if named is not None:
        return frozenset(named)
    return default_roles(directory.kinds_of(organisation))


def machines_of(directory: Directory) -> Mapping[str, _Machine]:
    """Machines by their id. Raises `ConfigurationError` for keys that cannot check a signature."""
    found = {}
    for client in directory.clients.values():
        try:
            keys = read_keys(client.jwks)
        except ValueError as error:
            raise ConfigurationError(
                f"The directory's client {client.id}: its keys are not usable ({error}); give RSA "
                "keys of 2,048 bits or more, EC keys or Ed25519 keys."
            ) from None
        roles = roles_given(client.roles, directory, client.organisation)
        found[client.id] = _Machine(client, keys, roles)
    return found


def make_door(
    settings: Settings,
    directory: Directory,
    pool: Pool | None,
    clock: Clock,
    sessions: Authenticate | None = None,
    issuer: Issuer | None = None,
) -> Door:
    """The door of a face, as settings and directory say; `issuer` if one was made already. `pool`
    is for used tokens alone (`stores.used_tokens`).

    Raises `ConfigurationError`, which says what to set: for a role that is none, an issuer that
    cannot be asked safely, and in production for a door that would be open to shared tokens, to
    tokens meant for somebody else, or to nobody.
    """
    access = settings.access
    production = settings.profile is Profile.PRODUCTION
    check_roles(directory)
    if access.issuer is None and (access.issuer_keys_url or access.issuer_keys_file):
        raise ConfigurationError(
            "Keys of an issuer are set, but no issuer: set HALYARD_ACCESS__ISSUER."
        )
    if access.issuer is not None and access.issuer in directory.clients:
        raise ConfigurationError(
            "The directory lists a client with the id of the issuer; give the client another."
        )
    if production:
        _check_production(access, directory)
    issuer = issuer or make_issuer(settings)
    shared = not production or access.practice_tokens
    return Door(
        access,
        directory,
        clock,
        issuer=issuer,
        used=UsedTokens(pool, clock, seconds=access.used_token_seconds),
        practice=practice_tokens(directory) if shared else None,
        sessions=sessions,
    )


def check_roles(directory: Directory) -> None:
    """Raises `ConfigurationError` for a role in the directory that the hub does not have, and for a
    machine in one that people alone have.
    """
    named = [
        (f"credential of {one.organisation}", role)
        for one in directory.credentials
        for role in one.roles or ()
    ]
    named += [
        (f"client {one.id}", role) for one in directory.clients.values() for role in one.roles or ()
    ]
    named += [(f"role_map {one.claim}", one.role) for one in directory.role_maps]
    for place, role in named:
        if role not in set(Role):
            raise ConfigurationError(
                f"The directory's {place} names role {role}, which is none; the roles are "
                f"{', '.join(Role)}."
            )
    for client in directory.clients.values():
        if of_people := sorted(OF_PEOPLE.intersection(client.roles or ())):
            raise ConfigurationError(
                f"The directory's client {client.id} has role {of_people[0]}, which is of people "
                "alone: they log in at the issuer. Give it a system's role, or none for the usual."
            )


def _check_production(access: AccessSettings, directory: Directory) -> None:
    if directory.credentials and not access.practice_tokens:
        raise ConfigurationError(
            "The directory has shared tokens ([[credential]]), which production does not take: "
            "take them out and register machines as [[client]]. HALYARD_ACCESS__PRACTICE_TOKENS="
            "true lets them in all the same, at your risk."
        )
    shared = bool(directory.credentials)
    if access.issuer is None and not directory.clients and not shared:
        raise ConfigurationError(
            "Nobody could come in: set HALYARD_ACCESS__ISSUER, or register machines as [[client]] "
            "in the directory."
        )
    if access.audience == AccessSettings().audience and (access.issuer or directory.clients):
        raise ConfigurationError(
            "Tokens must name this hub: set HALYARD_ACCESS__AUDIENCE to its own address."
        )
