"""`halyard access list|check`: who may come in by which credential, and why a token would not."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import typer

from flag_service.claims import caller_of
from flag_service.door import MACHINE_SECONDS, check_roles, machines_of, roles_given
from halyard import tokens
from halyard.cli import sessions
from halyard.cli.output import Exit, Json, line, print_json, table
from halyard.cli.running import running_system
from halyard.clock import Clock, system_clock
from halyard.issuer import Issuer
from halyard.jwks import PublicKey
from halyard.problems import HttpProblem
from halyard.settings import Profile, Settings, load_settings
from halyard.tokens import REFUSALS, Rules, Token
from stores.directory import Directory, load_directory

NOT_CHECKED: Final = "token.not_checked"
"""The rule of a token that cannot be told from a forged one here."""

app = typer.Typer(help="Who may come in, by which credential.", no_args_is_help=True)
app.add_typer(sessions.app, name="sessions")


@dataclass(frozen=True, slots=True)
class Way:
    """One way in. `by` names it without any secret."""

    credential: str
    by: str
    organisation: str
    name: str
    roles: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What would become of a token; `unchecked` is what cannot be said from here. One whose
    signature is not checked is not admitted, by the rule `NOT_CHECKED`.
    """

    admitted: bool
    credential: str
    rule: str | None = None
    text: str = ""
    organisation: str | None = None
    roles: tuple[str, ...] = ()
    expires_at: str | None = None
    unchecked: tuple[str, ...] = ()


@app.command("list")
def listed(json: Json = False) -> None:
    """List who may come in by which credential, and for which organisation. No secrets."""
    settings, directory = _known()
    ways = list(ways_in(settings, directory))
    if json:
        print_json({"ways": [asdict(way) for way in ways]})
        return
    table(("credential", "by", "organisation", "name", "roles"), [asdict(way) for way in ways])


@app.command()
def check(json: Json = False) -> None:
    """Say whether the token in HALYARD_TOKEN, or on standard input, would be let in by the settings
    and the directory of this machine, and why not. Asks nobody, and prints nothing of the token.
    Exits 1 if it would be refused, 4 if its signature could not be checked here: anybody could have
    written it.
    """
    settings, directory = _known()
    text = os.environ.get("HALYARD_TOKEN") or sys.stdin.read(tokens.MAX_BYTES + 2)
    verdict = asyncio.run(judge(text.strip(), settings, directory, system_clock))
    if json:
        print_json(asdict(verdict))
    else:
        said = "not checked" if verdict.rule == NOT_CHECKED else verdict.rule or "let in"
        line(f"{said}: {verdict.text}")
        if verdict.organisation:
            claimed = "it says " if verdict.rule == NOT_CHECKED else ""
            line(f"{claimed}as {verdict.organisation}, roles: {', '.join(verdict.roles) or 'none'}")
        for one in verdict.unchecked:
            line(f"not checked here: {one}")
    if not verdict.admitted:
        raise typer.Exit(Exit.UNAVAILABLE if verdict.rule == NOT_CHECKED else Exit.FAILED)


def ways_in(settings: Settings, directory: Directory) -> Iterator[Way]:
    """Every way in that the directory has."""
    if settings.access.issuer is not None:
        for one in directory.role_maps:
            places = " ".join(one.organisations) or "any in the directory"
            yield Way("issuer", one.claim, places, settings.access.issuer, one.role)
    for client in directory.clients.values():
        kids = [str(key.get("kid", "-")) for key in (client.jwks or {"keys": []})["keys"]]
        roles = roles_given(client.roles, directory, client.organisation)
        by = f"{client.id} (keys {', '.join(kids)})"
        yield _way(directory, "machine", by, client.organisation, roles)
    for credential in directory.credentials:
        roles = roles_given(credential.roles, directory, credential.organisation)
        by = f"SHA-256 {credential.sha256[:12]}…"
        yield _way(directory, "shared token", by, credential.organisation, roles)
    for feed in directory.feeds:
        if feed.transport == "mllp":
            bound = f", {len(feed.certificates)} certificates" if feed.certificates else ""
            by = f"{feed.source} from {' '.join(feed.peers)}{bound}"
            yield _way(directory, "MLLP peer", by, feed.organisation)
    for mailbox in directory.mailboxes.values():
        yield _way(directory, "MESH mailbox", mailbox.id, mailbox.organisation)
    for principal in directory.kafka_principals:
        yield Way(
            "Kafka principal",
            principal.principal,
            principal.organisation or "",
            directory.name_of(principal.organisation) if principal.organisation else "the hub",
            " ".join(principal.stages),
        )


async def judge(text: str, settings: Settings, directory: Directory, clock: Clock) -> Verdict:
    """What would become of a token at a request of this moment, without asking anybody."""
    access = settings.access
    shared = settings.profile is not Profile.PRODUCTION or access.practice_tokens
    organisation = directory.organisation_of(text) if text and shared else None
    if organisation is not None:
        named = next(one for one in directory.credentials if _is(one.sha256, text))
        roles = roles_given(named.roles, directory, organisation)
        return Verdict(
            True,
            "practice-token",
            text="a shared token of practice systems",
            organisation=organisation,
            roles=tuple(sorted(roles)),
        )
    if not tokens.looks_like_one(text):
        return Verdict(False, "none", "http.unauthenticated", "It is no token of anybody here.")
    machine = None
    try:
        token = tokens.read(text)
        machine = machines_of(directory).get(token.issuer or "")
        if machine is not None:
            rules = _rules(settings, MACHINE_SECONDS)
            tokens.verify(token, machine.keys, rules, clock().timestamp())
            if token.claims.get("sub") != machine.client.id:
                raise tokens.refused("token.claims")
            tokens.text_claim(token.claims, "jti", 256)
            verdict = Verdict(
                True,
                "machine-token",
                organisation=machine.client.organisation,
                roles=tuple(sorted(machine.roles)),
                unchecked=("whether it was used before",),
            )
        elif access.issuer is not None and token.issuer == access.issuer:
            keys, unchecked = await _keys(settings)
            rules = _rules(settings, access.longest_token_seconds)
            _verify(token, keys, rules, clock().timestamp())
            caller = caller_of(token.claims, directory, access)
            verdict = Verdict(
                keys is not None,
                "access-token",
                None if keys is not None else NOT_CHECKED,
                organisation=caller.organisation,
                roles=tuple(sorted(caller.roles)),
                unchecked=unchecked,
            )
        else:
            raise tokens.refused("token.issuer")
        bound = tokens.bound_to(token) is not None
    except HttpProblem as problem:
        kind = "access-token" if machine is None else "machine-token"
        text = REFUSALS.get(problem.rule, problem.detail)
        return Verdict(False, kind, problem.rule, text)
    if bound or (machine is not None and machine.client.certificates):
        certificate = "whether its certificate is shown with it"
        verdict = replace(verdict, unchecked=(*verdict.unchecked, certificate))
    return replace(
        verdict,
        text="it holds now" if verdict.admitted else _UNSIGNED,
        expires_at=str(int(tokens.expiry(token))),
    )


def _verify(token: Token, keys: tuple[PublicKey, ...] | None, rules: Rules, now: float) -> None:
    if keys is not None:
        tokens.verify(token, keys, rules, now)
        return
    tokens.allowed(token, rules)
    tokens.check_kind(token)
    tokens.check_audience(token, rules)
    tokens.check_times(token, rules, now)
    tokens.check_lifetime(token, rules, now)


_UNSIGNED: Final = (
    "its signature could not be checked here, so anybody may have written it; name a file of the "
    "issuer's keys in HALYARD_ACCESS__ISSUER_KEYS_FILE, or show the token to `GET /me`"
)


async def _keys(settings: Settings) -> tuple[tuple[PublicKey, ...] | None, tuple[str, ...]]:
    """The issuer's keys, if they stand in a file here."""
    if settings.access.issuer_keys_file is None:
        return None, ("its signature: the issuer's keys are fetched by `halyard serve` alone",)
    try:
        return await Issuer(settings.access, production=True).keys(), ()
    except HttpProblem:
        return None, ("its signature: the file of the issuer's keys cannot be read",)


def _rules(settings: Settings, longest: int) -> Rules:
    access = settings.access
    return Rules(access.audience, frozenset(access.algorithms), access.clock_skew_seconds, longest)


def _is(digest: str, text: str) -> bool:
    return hashlib.sha256(text.encode()).hexdigest() == digest


def _known() -> tuple[Settings, Directory]:
    running_system(load_settings().data_dir)
    settings = load_settings()
    directory = load_directory(settings.directory_file)
    check_roles(directory)
    return settings, directory


def _way(directory: Directory, credential: str, by: str, organisation: str, roles: Any = ()) -> Way:
    name = directory.name_of(organisation)
    return Way(credential, by, organisation, name, " ".join(sorted(roles)))
