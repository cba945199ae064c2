"""What the issuer knows: its own names, the clients that may ask, and the codes it has given."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from joserfc.jwk import KeySet

from halyard.clock import Clock, system_clock
from sandbox.issuer.assertions import UsedIds
from sandbox.issuer.keys import SigningKeys
from sandbox.issuer.people import PEOPLE, PracticePerson

MACHINE_SECONDS = 600  # of a machine's access token; the platform says 599
PERSON_SECONDS = 900
CODE_SECONDS = 60
MAX_CODES = 10_000

_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|\[::1\]):[0-9]{1,5}(/[A-Za-z0-9/_-]*)")


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody registered: a machine (with keys, an organisation and roles) that asks for itself,
    or an application (with redirect URIs) that people log in to.
    """

    client_id: str
    keys: KeySet | None = field(default=None, repr=False)  # without: a public client
    organisation: str | None = None
    roles: tuple[str, ...] = ()
    redirect_uris: tuple[str, ...] = ()

    def may_redirect(self, uri: str) -> bool:
        """Whether `uri` is registered, letter by letter; of one on loopback any port is (RFC 8252,
        section 7.3), since a command line takes a free one.
        """
        if uri in self.redirect_uris:
            return True
        asked = _LOOPBACK.fullmatch(uri)
        return (
            asked is not None
            and self.keys is None
            and any(
                (known := _LOOPBACK.fullmatch(one)) is not None and known.groups() == asked.groups()
                for one in self.redirect_uris
            )
        )


@dataclass(frozen=True, slots=True)
class Granted:
    """An authorization code's meaning; a code is good once."""

    client_id: str
    person: PracticePerson
    redirect_uri: str
    scope: str
    nonce: str | None = field(repr=False)
    challenge: str = field(repr=False)
    granted_at: int
    until: int


class Codes:
    """Authorization codes that wait to be redeemed; in memory and bounded."""

    def __init__(self, most: int = MAX_CODES) -> None:
        self._most = most
        self._waiting: OrderedDict[str, Granted] = OrderedDict()

    def keep(self, code: str, granted: Granted) -> None:
        """Remember what `code` means."""
        while len(self._waiting) >= self._most:
            self._waiting.popitem(last=False)
        self._waiting[code] = granted

    def take(self, code: str, now: int) -> Granted | None:
        """What `code` means, if it is good; it is spent, whatever follows."""
        granted = self._waiting.pop(code, None)
        return granted if granted is not None and now < granted.until else None


@dataclass(slots=True)
class Issuer:
    """An issuer: `url` is its identifier (``iss``) and where its machines reach it; `public_url` is
    where browsers do.
    """

    url: str
    audience: str  # of access tokens: the hub
    keys: SigningKeys
    clients: Mapping[str, Client]
    people: tuple[PracticePerson, ...] = PEOPLE
    public_url: str = ""
    clock: Clock = system_clock
    codes: Codes = field(default_factory=Codes)
    used: UsedIds = field(default_factory=UsedIds)

    def __post_init__(self) -> None:
        """Browsers come the same way as machines, unless told otherwise."""
        self.public_url = self.public_url or self.url.rstrip("/")

    @property
    def token_url(self) -> str:
        """Where tokens are asked for, and what an assertion names as its audience."""
        return f"{self.url.rstrip('/')}/oauth2/token"

    def now(self) -> int:
        """Seconds since 1970."""
        return int(self.clock().timestamp())

    def person(self, subject: str) -> PracticePerson | None:
        """Who has this subject."""
        return next((one for one in self.people if one.subject == subject), None)

    def keys_of(self, client_id: str) -> KeySet | None:
        """The registered keys of a client."""
        client = self.clients.get(client_id)
        return None if client is None else client.keys

    @staticmethod
    def token_id() -> str:
        """A `jti` that nobody guesses."""
        return secrets.token_urlsafe(16)
