"""Who is connected: organisations, feeds, authorities, endpoints, credentials.

Read from ``config/directory.toml`` at start, without a database: taking messages in must not
depend on PostgreSQL. Secrets stand in the secrets file; here only their names or digests.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import itertools
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, ValidationError, model_validator

from halyard.errors import ConfigurationError, NoDirectory
from stores import credentials
from stores.arrival_rules import DEFAULT_RULE, ArrivalRule, Codes
from stores.credentials import Client, KafkaPrincipal, Kind, Mailbox, RoleMap
from stores.credentials import Credential as Credential
from stores.entry import Entry, OrganisationCode
from stores.panels import Agency, Panel


class Endpoint(Entry):
    """Where deliveries go: a webhook, signed with the secret of this name, or an HL7 v2 listener
    (``mllp://host:port``, with TLS ``mllps://``) of a hospital's own system.
    """

    name: str = Field(pattern=r"^[a-z0-9-]{1,60}$")
    url: str = Field(pattern=r"^(https?|mllps?)://")
    secret: str | None = None  # of a webhook: its name in the secrets file
    # of an HL7 v2 listener: MSH-5 and MSH-6, what it calls itself
    receiving_application: str = ""
    receiving_facility: str = ""

    @property
    def mllp(self) -> bool:
        """Whether HL7 v2 goes there, instead of a webhook."""
        return self.url.startswith("mllp")

    @model_validator(mode="after")
    def _webhooks_are_signed(self) -> Self:
        if not self.mllp and self.secret is None:
            raise ValueError("a webhook needs `secret`, its name in the secrets file")
        return self


class Hospital(Entry):
    """An organisation that sends attendances."""

    ods: OrganisationCode
    name: str
    callback_name: str | None = None  # whom the authority rings
    callback_phone: str | None = None
    contact_endpoint: str | None = None  # the safeguarding contact told of a match
    message_endpoint: str | None = None  # where FHIR messages about deaths are pushed
    caldicott_endpoint: str | None = None  # told at once when its staff break the glass
    departments: dict[str, str] = Field(default_factory=dict)  # local code -> name to show


def _charset(name: str) -> str:
    try:
        if b"MSH".decode(name) == "MSH":
            return name
    except (LookupError, UnicodeDecodeError):
        pass  # said below
    raise ValueError("no character set with ASCII in it that Python knows; use windows-1252")


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError("no time zone; use Europe/London") from None
    return name


class Feed(Entry):
    """One stream of a hospital: over MLLP, known by what it says in MSH-3 and MSH-4; or FHIR
    messages, known by the sender's token and MessageHeader.source.endpoint.
    """

    source: str = Field(pattern=r"^[A-Za-z0-9._-]{1,40}$")
    organisation: OrganisationCode
    transport: Literal["mllp", "fhir"] = "mllp"
    facility: str = ""  # MSH-4.1; needed over MLLP
    application: str | None = None  # MSH-3.1; any if not given
    endpoint: str | None = None  # of a FHIR feed: MessageHeader.source.endpoint; any if not given
    relays_pds: bool = False  # whether a FHIR feed may say what PDS holds of a death
    peers: tuple[str, ...] = ("127.0.0.0/8", "::1/128")  # networks it may connect from
    # SHA-256 (hex) of client certificates, one of which the peer must show: needs TLS
    certificates: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = ()
    fallback_charset: Annotated[str, AfterValidator(_charset)] = "windows-1252"
    arrival_rule: str = "default"
    # OBX-3 codes of the hospital whose OBX-5 is the chief complaint, or the acuity at triage;
    # the defaults are LOINC's: chief complaint (reported, narrative), acuity assessment
    chief_complaint_codes: Codes = ("8661-1", "10154-3")
    acuity_codes: Codes = ("11283-9",)
    timezone: Annotated[str, AfterValidator(_timezone)] = "Europe/London"
    # What a sender gets when the broker cannot take its message in time
    broker_away: Literal["close", "AR"] = "close"


class Authority(Entry):
    """A local authority with children's services."""

    gss: OrganisationCode
    name: str
    ods: OrganisationCode | None = None  # in the NHS's directory: PDS is asked in its name
    alert_endpoint: str | None = None
    restricted_endpoint: str | None = None  # the contact registered for restricted children
    message_endpoint: str | None = None  # where FHIR messages about deaths are pushed
    caldicott_endpoint: str | None = None  # told at once when its staff break the glass
    phone_office: str | None = None
    phone_emergency: str | None = None
    # "sender": every upload names a growing sequence; "received": order of receipt
    file_sequence: Literal["sender", "received"] = "received"


class _File(Entry):
    arrival_rule: tuple[ArrivalRule, ...] = ()
    hospital: tuple[Hospital, ...] = ()
    feed: tuple[Feed, ...] = ()
    authority: tuple[Authority, ...] = ()
    agency: tuple[Agency, ...] = ()
    panel: tuple[Panel, ...] = ()
    endpoint: tuple[Endpoint, ...] = ()
    credential: tuple[Credential, ...] = ()
    client: tuple[Client, ...] = ()
    role_map: tuple[RoleMap, ...] = ()
    mailbox: tuple[Mailbox, ...] = ()
    kafka_principal: tuple[KafkaPrincipal, ...] = ()


@dataclass(frozen=True, slots=True)
class Directory:
    """The directory, indexed."""

    hospitals: dict[str, Hospital]
    feeds: tuple[Feed, ...]
    authorities: dict[str, Authority]
    endpoints: dict[str, Endpoint]
    credentials: tuple[Credential, ...]
    arrival_rules: dict[str, ArrivalRule] = field(default_factory=lambda: {"default": DEFAULT_RULE})
    agencies: dict[str, Agency] = field(default_factory=dict)
    panels: dict[str, Panel] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)  # with their `jwks`
    role_maps: tuple[RoleMap, ...] = ()
    mailboxes: dict[str, Mailbox] = field(default_factory=dict)
    kafka_principals: tuple[KafkaPrincipal, ...] = ()

    def kinds_of(self, code: str) -> tuple[Kind, ...]:
        """What an organisation is here; nothing, if it is not in the directory."""
        found: tuple[tuple[Kind, bool], ...] = (
            ("hospital", code in self.hospitals),
            ("authority", code in self.authorities),
            ("agency", code in self.agencies),
            ("panel", any(one.organisation == code for one in self.panels.values())),
        )
        return tuple(kind for kind, there in found if there)

    def ods_of(self, code: str) -> str | None:
        """A hospital's or practice's own ODS code, an authority's as stated; else None. None is
        guessed: 209 is one council's for DfE, another's in the NHS."""
        if (authority := self.authorities.get(code)) is not None:
            return authority.ods
        kind = self.agencies[code].kind if code in self.agencies else ""
        return code if code in self.hospitals or kind == "general-practice" else None

    def arrival_rule(self, feed: Feed) -> ArrivalRule:
        """The rule of `feed`."""
        return self.arrival_rules[feed.arrival_rule]

    def fhir_feed(self, organisation: str, endpoint: str | None) -> Feed | None:
        """The FHIR feed of the organisation (by its token) with this source endpoint, else one that
        names none, if any.
        """
        named, any_endpoint = None, None
        for feed in self.feeds:
            if feed.transport != "fhir" or feed.organisation != organisation:
                continue
            if feed.endpoint is None:
                any_endpoint = any_endpoint or feed
            elif feed.endpoint == endpoint:
                named = named or feed
        return named or any_endpoint

    def feed_for(
        self, application: str, facility: str, address: str, certificate: str | None = None
    ) -> Feed | None:
        """The feed that sends with this MSH-3.1 and MSH-4.1 from this IP address, if any: one that
        names the application before one that does not. `certificate` is the SHA-256 (hex) of the
        certificate that the peer has shown; who does not show the one that the feed asks for is of
        no other feed either.
        """
        peer: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address)
        if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped  # an IPv4 sender at a dual-stack listener
        near = [
            feed
            for feed in self._named(application, facility)
            if any(peer in ipaddress.ip_network(network) for network in feed.peers)
        ]
        near = _most_specific(near)
        asked = [feed for feed in near if feed.certificates]
        if asked:
            near = [feed for feed in asked if certificate in feed.certificates]
        return next(iter(near), None)

    def feed_named(self, application: str, facility: str) -> Feed | None:
        """The feed with this MSH-3.1 and MSH-4.1, wherever it sends from and whatever it shows; of
        several the first.
        """
        return next(iter(_most_specific(self._named(application, facility))), None)

    def _named(self, application: str, facility: str) -> list[Feed]:
        return [
            feed
            for feed in self.feeds
            if feed.transport == "mllp"
            and feed.facility == facility
            and feed.application in (None, application)
        ]

    def organisation_of(self, token: str) -> str | None:
        """Code of the organisation whose bearer token this is; compared in constant time."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        found = None
        for credential in self.credentials:
            if hmac.compare_digest(credential.sha256, digest):
                found = credential.organisation
        return found

    def name_of(self, code: str) -> str:
        """Name of a hospital or authority, else its code."""
        if code in self.hospitals:
            return self.hospitals[code].name
        if code in self.authorities:
            return self.authorities[code].name
        if code in self.agencies:
            return self.agencies[code].name
        return code

    def caldicott_endpoints(self) -> dict[str, str]:
        """Organisations whose Caldicott guardian is told of broken glass, with the endpoint."""
        told = (
            *((code, one.caldicott_endpoint) for code, one in self.hospitals.items()),
            *((code, one.caldicott_endpoint) for code, one in self.authorities.items()),
        )
        return {code: endpoint for code, endpoint in told if endpoint is not None}

    def message_endpoint(self, code: str) -> str | None:
        """Name of the endpoint where an organisation's messages about deaths are pushed, if any."""
        known = (self.hospitals.get(code), self.authorities.get(code), self.agencies.get(code))
        panels = [one for one in self.panels.values() if one.organisation == code]
        for one in (*known, *panels):
            if one is not None and one.message_endpoint is not None:
                return one.message_endpoint
        return None


def _most_specific(feeds: list[Feed]) -> list[Feed]:
    """Those that name the application, if any does."""
    return [feed for feed in feeds if feed.application is not None] or feeds


def _clash(one: Feed, other: Feed) -> str | None:
    """Why a message could be of both feeds alike; None if it cannot."""
    if one.transport != other.transport:
        return None
    if one.transport == "fhir":
        same = one.organisation == other.organisation and one.endpoint == other.endpoint
        return "the same organisation and endpoint" if same else None
    if (one.facility, one.application) != (other.facility, other.application):
        return None
    networks = [[ipaddress.ip_network(peer) for peer in feed.peers] for feed in (one, other)]
    if not any(a.version == b.version and a.overlaps(b) for a in networks[0] for b in networks[1]):
        return None
    if one.certificates and other.certificates:
        same = not set(one.certificates).isdisjoint(other.certificates)
        return "the same facility, application, peers and a certificate" if same else None
    return "the same facility and application, and peers in common"


def load_directory(path: Path) -> Directory:
    """The directory in `path`. Raises `ConfigurationError` that names the entry and the rule."""
    try:
        file = _File.model_validate(tomllib.loads(path.expanduser().read_text()))
    except OSError as error:
        raise NoDirectory(
            f"The directory file {path} cannot be read ({type(error).__name__}); set "
            "HALYARD_DIRECTORY_FILE."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        places = "; ".join(
            f"{'.'.join(str(part) for part in issue['loc'])}: {issue['msg']}"
            for issue in error.errors(include_input=False, include_url=False)
        )
        raise ConfigurationError(f"{path}: {places}") from None
    return _indexed(file, path)


def _indexed(file: _File, path: Path) -> Directory:
    clients = [credentials.with_keys(one, path) for one in file.client]
    directory = Directory(
        hospitals={one.ods: one for one in file.hospital},
        feeds=file.feed,
        authorities={one.gss: one for one in file.authority},
        endpoints={one.name: one for one in file.endpoint},
        credentials=file.credential,
        arrival_rules={"default": DEFAULT_RULE} | {one.name: one for one in file.arrival_rule},
        agencies={one.code: one for one in file.agency},
        panels={one.code: one for one in file.panel},
        clients={one.id: one for one in clients},
        role_maps=file.role_map,
        mailboxes={one.id: one for one in file.mailbox},
        kafka_principals=file.kafka_principal,
    )
    credentials.check(
        path,
        known={
            *directory.hospitals,
            *directory.authorities,
            *directory.agencies,
            *(panel.organisation for panel in file.panel),
        },
        clients=clients,
        maps=file.role_map,
        mailboxes=file.mailbox,
        principals=file.kafka_principal,
        shared=file.credential,
    )
    wanted = [(f"hospital {one.ods}", one.contact_endpoint) for one in file.hospital]
    wanted += [(f"hospital {one.ods}", one.message_endpoint) for one in file.hospital]
    wanted += [(f"hospital {one.ods}", one.caldicott_endpoint) for one in file.hospital]
    wanted += [(f"agency {one.code}", one.message_endpoint) for one in file.agency]
    wanted += [(f"panel {one.code}", one.message_endpoint) for one in file.panel]
    for authority in file.authority:
        wanted.append((f"authority {authority.gss}", authority.message_endpoint))
        wanted.append((f"authority {authority.gss}", authority.caldicott_endpoint))
        wanted.append((f"authority {authority.gss}", authority.alert_endpoint))
        wanted.append((f"authority {authority.gss}", authority.restricted_endpoint))
    for place, endpoint in wanted:
        if endpoint is not None and endpoint not in directory.endpoints:
            raise ConfigurationError(
                f"{path}: {place} names endpoint {endpoint}, which is not there."
            )
    for kind, codes in (
        ("hospitals", [one.ods for one in file.hospital]),
        ("authorities", [one.gss for one in file.authority]),
        ("agencies", [one.code for one in file.agency]),
        ("panels", [one.code for one in file.panel]),
        ("organisations", [*directory.hospitals, *directory.authorities, *directory.agencies]),
        ("endpoints", [one.name for one in file.endpoint]),
        ("arrival rules", [one.name for one in file.arrival_rule]),
    ):
        if twice := sorted({code for code in codes if codes.count(code) > 1}):
            raise ConfigurationError(f"{path}: {kind} listed twice: {', '.join(twice)}.")
    for feed in file.feed:
        for network in feed.peers:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ConfigurationError(
                    f"{path}: feed {feed.source}: peers: {network} is not a network "
                    "(10.1.0.0/16, or one address)."
                ) from None
        senders = [*directory.hospitals]
        if feed.transport == "fhir":  # who sends no attendances may tell of deaths
            senders += [*directory.authorities, *directory.agencies]
        if feed.organisation not in senders:
            raise ConfigurationError(f"{path}: feed {feed.source} names an unknown hospital.")
        if feed.arrival_rule not in directory.arrival_rules:
            raise ConfigurationError(
                f"{path}: feed {feed.source} names arrival rule {feed.arrival_rule}, which is not "
                "there."
            )
        if feed.relays_pds and feed.transport != "fhir":
            raise ConfigurationError(
                f"{path}: feed {feed.source}: relays_pds is of a FHIR feed alone; take it out."
            )
        if feed.transport == "mllp" and not feed.facility:
            raise ConfigurationError(f"{path}: feed {feed.source} needs `facility`, its MSH-4.1.")
    if len({feed.source for feed in file.feed}) != len(file.feed):
        raise ConfigurationError(f"{path}: two feeds have the same source.")
    for one, other in itertools.combinations(file.feed, 2):
        if why := _clash(one, other):
            raise ConfigurationError(
                f"{path}: feeds {one.source} and {other.source} have {why}: a message could be of "
                "both. Tell them apart, or make them one."
            )
    return directory
