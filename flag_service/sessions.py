"""People's sessions: a cookie that means a row, and what a browser must show beside it.

The cookie's value is random, stands in the database by its digest alone, and is new at each log-in.
A request that changes something also needs ``X-CSRF-Token``, made from that value, and an
``Origin`` that is the hub's. A request with an Authorization header is no browser's session.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from flag_service.claims import caller_of, roles_mapped
from flag_service.log_in import LogIn, Secrets
from flag_service.strangers import Strangers
from halyard.caller import Attempt, Caller
from halyard.clock import Clock
from halyard.errors import TransientError
from halyard.issuer import Issuer
from halyard.postgres import Pool, transaction
from halyard.problems import HttpProblem
from halyard.settings import Settings
from halyard.settings_sessions import SessionSettings
from halyard.signing import load_private_key
from halyard.telemetry import get_logger
from stores import audit
from stores import sessions as store
from stores.audit import AuditEntry
from stores.directory import Directory
from stores.sessions import Session

LOG_IN_SECONDS: Final = 600
HOME: Final = "/session"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")
# Our own paths, without a query; never "//host", and no number of ten digits
_RETURN = re.compile(r"/(?!/)[A-Za-z0-9/_-]{0,200}")
_NUMBER = re.compile(r"[0-9]{10}")

log = get_logger()

Admit = Callable[[Mapping[str, Any]], Caller]
"""Whom the claims of an issuer's token mean here. Raises `HttpProblem` if nobody."""


@dataclass(frozen=True, slots=True)
class Started:
    """A log-in that was completed."""

    value: str  # of the cookie
    return_to: str


@dataclass(frozen=True, slots=True)
class Sessions:
    """Log-in, log-out, and who is behind a cookie."""

    settings: SessionSettings
    pool: Pool
    log_in: LogIn
    admit: Admit
    directory: Directory
    clock: Clock
    new_id: Callable[[], uuid.UUID] = uuid.uuid4  # of audit entries
    strangers: Strangers = field(default_factory=Strangers, repr=False)

    @property
    def cookie(self) -> str:
        """Name of the session's cookie. Without TLS (practice on loopback) no browser would take
        the prefix, which asks for `Secure`.
        """
        return "__Host-halyard" if self.settings.secure else "halyard"

    @property
    def log_in_cookie(self) -> str:
        """Name of the cookie that a log-in under way is bound to."""
        return f"{self.cookie}-log-in"

    @property
    def idle(self) -> timedelta:
        """How long a session may go unused."""
        return timedelta(minutes=self.settings.idle_minutes)

    async def authenticate(self, attempt: Attempt) -> Caller | None:
        """Who is behind the cookie of a request (`halyard.caller.Authenticate`); None without one.

        Raises `HttpProblem`: 401 for a session that is over, 403 for a request that may come from
        another site, 429 for an unknown cookie from an address that has failed too often, 503 while
        the database is away.
        """
        if attempt.authorization is not None:
            return None
        value = self.value_of(attempt.cookie)
        if value is None:
            return None
        if attempt.method not in SAFE:
            self._check_origin(attempt, value)
        digest = _digest(value)
        try:
            async with self.strangers.turn(digest, suspect=attempt.suspect):
                caller = await self._behind(value)
        except TransientError as error:
            log.warning("session_not_checked", exc_info=error)
            raise _cannot_check() from None
        self.strangers.note(digest, good=caller is not None)
        if caller is None:
            raise _over()
        return caller

    async def stands(self, cookies: str | None) -> bool:
        """Whether the session behind the cookie still opens anything; asking is use of it. For what
        goes on after its request was let in. Raises `TransientError` if nobody can say.
        """
        value = self.value_of(cookies)
        return value is not None and await self._behind(value) is not None

    def value_of(self, cookies: str | None) -> str | None:
        """The session's cookie among `cookies`; None if there is none, or two."""
        return cookie_value(cookies, self.cookie)

    def csrf_token(self, value: str) -> str:
        """What a page of ours sends back with each change; another session's is another."""
        return Secrets(value).of("csrf")

    async def begin(self, return_to: str | None) -> tuple[str, str]:
        """A log-in: the value of its cookie, and where to send the browser."""
        value = secrets.token_urlsafe(32)
        place = safe_return(return_to)
        bound = Secrets(value)
        url = await self.log_in.authorization_url(bound, bound.of("state", place))
        return f"{value}.{_base64(place)}", url

    async def complete(
        self,
        *,
        cookies: str | None,
        state: str | None,
        code: str | None,
        request_id: str | None = None,
    ) -> Started:
        """A session for whoever has logged in, in the browser that began it.

        Raises `HttpProblem`: 400 if this browser began no such log-in, 401 if the issuer does not
        stand by it, 403 for somebody whom the directory gives no role here, 503 if the issuer or
        the database is away.
        """
        begun = cookie_value(cookies, self.log_in_cookie)
        value, _, packed = (begun or "").partition(".")
        place = _unpacked(packed)
        if not _VALUE.fullmatch(value) or safe_return(place) != place:
            raise _not_begun()
        bound = Secrets(value)
        if not state or not hmac.compare_digest(state.encode(), bound.of("state", place).encode()):
            raise _not_begun()
        if not code or len(code) > 2_000:
            raise _declined()
        caller = self.admit(await self.log_in.redeem(code, bound))
        return Started(await self._start(caller, cookies, request_id), place)

    async def end(self, cookies: str | None, request_id: str | None = None) -> None:
        """End the session behind the cookie, if there is one."""
        value = self.value_of(cookies)
        if value is None:
            return
        async with transaction(self.pool) as db:
            ended = await store.end(db, _digest(value))
            if ended is not None:
                entry = self._entry(ended, "session.ended", request_id)
                await audit.append(db, [entry])
        log.info("session_ended")

    async def _behind(self, value: str) -> Caller | None:
        """Who a session is, by the directory of now: one whose organisation it does not know any
        more, or that none of its roles is left to, opens nothing.
        """
        async with transaction(self.pool) as db:
            session = await store.seen(db, _digest(value), now=self.clock(), idle=self.idle)
        if session is None or not self.directory.kinds_of(session.organisation):
            return None
        roles = session.roles & roles_mapped(self.directory.role_maps, session.organisation)
        return _caller(session, roles) if roles else None

    def _entry(self, session: Session, rule: str, request_id: str | None) -> AuditEntry:
        """What the chain of the person's organisation keeps of a log-in or log-out."""
        return AuditEntry(
            entry_id=self.new_id(),
            recorded_at=self.clock(),
            kind="administration",
            chain=session.organisation,
            actor=session.subject,
            organisation=session.organisation,
            decision="permit",
            rule=rule,
            actor_name=session.name,
            role=" ".join(sorted(session.roles)),
            request_id=request_id,
            token_id=session.session_hash[-32:],
        )

    async def _start(self, caller: Caller, cookies: str | None, request_id: str | None) -> str:
        """A row with a new value, whatever the browser has shown before."""
        value = secrets.token_urlsafe(32)
        now = self.clock()
        before = self.value_of(cookies)
        session = Session(
            session_hash=_digest(value),
            organisation=caller.organisation,
            subject=caller.subject,
            name=caller.name,
            job_role=caller.job_role,
            roles=caller.roles,
            created_at=now,
            ends_at=now + timedelta(hours=self.settings.longest_hours),
        )
        async with transaction(self.pool) as db:
            await store.start(
                db,
                session,
                idle=self.idle,
                most=self.settings.most_per_person,
                replaces=None if before is None else _digest(before),
            )
            await audit.append(db, [self._entry(session, "session.started", request_id)])
        self.strangers.note(session.session_hash, good=True)
        log.info("session_started", organisation=caller.organisation, roles=sorted(caller.roles))
        return value

    def _check_origin(self, attempt: Attempt, value: str) -> None:
        ours = attempt.origin == self.settings.public_url
        token = (attempt.csrf_token or "").encode()
        if not ours or not hmac.compare_digest(token, self.csrf_token(value).encode()):
            raise _forged()


def make_sessions(
    settings: Settings, directory: Directory, pool: Pool, clock: Clock, issuer: Issuer | None
) -> Sessions | None:
    """People's sessions as the settings say; None if nobody can log in by browser.

    Raises `ConfigurationError` for a key of the hub's that cannot be read.
    """
    if settings.sessions.client_id is None or issuer is None:
        return None
    key_file = settings.sessions.client_key_file

    def admit(claims: Mapping[str, Any]) -> Caller:
        caller = caller_of(claims, directory, settings.access, logged_in=True)
        if not caller.roles or not caller.person:
            raise _no_role()
        return caller

    return Sessions(
        settings=settings.sessions,
        pool=pool,
        log_in=LogIn(
            settings,
            issuer,
            clock,
            client_key=None if key_file is None else load_private_key(key_file),
        ),
        admit=admit,
        directory=directory,
        clock=clock,
    )


def cookie_value(cookies: str | None, name: str) -> str | None:
    """The value of the cookie `name`; None if it is not there, or twice: somebody has put one
    there that is not ours.
    """
    found = [
        value.strip()
        for one, separator, value in (part.partition("=") for part in (cookies or "").split(";"))
        if separator and one.strip() == name
    ]
    return found[0] if len(found) == 1 and found[0] else None


def safe_return(asked: str | None) -> str:
    """Where to go after a log-in: a path of the hub's own, else its home."""
    if asked is None or not _RETURN.fullmatch(asked) or _NUMBER.search(asked):
        return HOME
    return asked


def _base64(text: str) -> str:
    """Without padding: a cookie's value holds no "="."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _unpacked(text: str) -> str:
    try:
        return base64.urlsafe_b64decode((text + "=" * (-len(text) % 4)).encode()).decode()
    except ValueError:
        return ""


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _caller(session: Session, roles: frozenset[str]) -> Caller:
    return Caller(
        organisation=session.organisation,
        subject=session.subject,
        roles=roles,
        person=True,
        name=session.name,
        job_role=session.job_role,
        credential="session",
        token_id=session.session_hash[-32:],
        expires_at=session.ends_at,
    )


def _over() -> HttpProblem:
    return HttpProblem(
        401,
        "The session is over",
        "Log in again at /session/login.",
        rule="session.over",
    )


def _forged() -> HttpProblem:
    return HttpProblem(
        403,
        "This change did not come from a page of the hub",
        "Send the X-CSRF-Token that GET /session gives, from the hub's own address.",
        rule="session.csrf",
    )


def _not_begun() -> HttpProblem:
    return HttpProblem(
        400,
        "No such log-in was begun here",
        "It took too long, or began in another browser: start again at /session/login.",
        rule="session.not_begun",
    )


def _declined() -> HttpProblem:
    return HttpProblem(
        401,
        "Not logged in",
        "The log-in service gave no code; start again at /session/login.",
        rule="session.declined",
    )


def _no_role() -> HttpProblem:
    return HttpProblem(
        403,
        "You have no role here",
        "The log-in service knows you, but gives no role that the hub's directory maps for your "
        "organisation; ask the hub's operator.",
        rule="session.no_role",
    )


def _cannot_check() -> HttpProblem:
    return HttpProblem(
        503,
        "Your session cannot be checked now",
        "Try again; if it stays so, ask the hub's operator to run `halyard doctor`.",
        rule="session.unavailable",
        headers={"Retry-After": "5"},
    )
