"""One settings class for every process (`HALYARD_*` variables, or one TOML file).

A nested setting is written with a double underscore: ``HALYARD_KAFKA__BOOTSTRAP_SERVERS``.
``HALYARD_CONFIG`` names a TOML file with the same shape; variables win over the file.
Start-up fails closed: a combination that would be unsafe is a `ConfigurationError`.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from halyard.errors import ConfigurationError
from halyard.settings_access import AccessSettings
from halyard.settings_audit import AuditSettings
from halyard.settings_policies import PolicySettings
from halyard.settings_retention import RetentionSettings
from halyard.settings_section import Section as _Section
from halyard.settings_security import SecuritySettings as SecuritySettings
from halyard.settings_sessions import SessionSettings
from halyard.settings_tracing import TracingSettings


class Profile(StrEnum):
    """Where the hub runs. Test NHS numbers and fault points exist only outside production."""

    PRACTICE = "practice"
    PRODUCTION = "production"


class KafkaSettings(_Section):
    """The bus."""

    bootstrap_servers: str = "127.0.0.1:9092"
    # Prefix of every topic and group, so that systems (and tests) share a cluster
    namespace: str = Field(default="", pattern=r"^[a-z0-9-]{0,40}$")
    request_timeout_seconds: float = Field(default=10.0, gt=0)
    # Below the group's rebalance time-out: a revocation that waits longer loses the partition
    session_timeout_seconds: float = Field(default=10.0, ge=2)
    max_record_bytes: int = 1_500_000


class DatabaseSettings(_Section):
    """The system of record. `url` is the app role's: no superuser, no BYPASSRLS."""

    url: SecretStr = SecretStr("postgresql://halyard_app@127.0.0.1:5432/halyard")
    # The owner role's, for `halyard migrate` alone
    owner_url: SecretStr | None = None
    pool_size: int = Field(default=4, ge=1, le=50)
    # How long a transaction waits for a connection: for a free one, or for PostgreSQL to be back
    pool_timeout_seconds: float = Field(default=10.0, gt=0)
    statement_timeout_seconds: float = Field(default=20.0, gt=0)
    lock_timeout_seconds: float = Field(default=10.0, gt=0)


class PdsSettings(_Section):
    """Personal Demographics Service."""

    base_url: str = "http://127.0.0.1:8100/personal-demographics/FHIR/R4"
    # A fixed access token, for practice alone; production has the four settings below
    token: SecretStr | None = None
    # Access tokens by a signed JWT (OAuth 2.0, application-restricted): all four, or none
    token_url: str | None = None
    api_key: SecretStr | None = None  # of the registered application: iss and sub of the JWT
    # RSA private key (PEM, or a JWK), mode 0600; the public half is registered under key_id
    private_key_file: Path | None = None
    key_id: str | None = Field(default=None, pattern=r"^[!-~]{1,200}$")
    # ODS code of the hub's own organisation: for whom PDS is asked where whoever is served has none
    organisation: str | None = Field(default=None, pattern=r"^[0-9A-Z]{3,10}$")
    # PDS default ration is 5 a second per application; raise only if NHS England has
    calls_per_second: float = Field(default=5.0, gt=0)
    timeout_seconds: float = Field(default=10.0, gt=0)
    lease_seconds: float = Field(default=30.0, gt=0)
    breaker_seconds: float = Field(default=5.0, gt=0)
    # RISK: lower lets a weaker hit of PDS verify a child; its other fields must still agree
    least_score: float = Field(default=0.80, ge=0.5, le=1)
    # RISK: as above, for searches by sound; the Department for Education's matcher begins at 0.85
    least_score_fuzzy: float = Field(default=0.85, ge=0.5, le=1)

    @property
    def signs(self) -> bool:
        """Whether access tokens are had by a signed JWT."""
        return self.token_url is not None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        parts = (self.token_url, self.api_key, self.private_key_file, self.key_id)
        if any(part is not None for part in parts) and None in parts:
            raise ValueError("token_url, api_key, private_key_file and key_id belong together")
        return self

    @model_validator(mode="after")
    def _outlasts_a_question(self) -> Self:
        # Twice the time-out is what a call takes with its token and its repetition; the third is
        # for the answer to be stored
        if self.lease_seconds < 3 * self.timeout_seconds:
            raise ValueError("lease_seconds must be at least three times timeout_seconds")
        return self


class IdentitySettings(_Section):
    """The identity ladder's limits (DESIGN: identity)."""

    verified_for_days: int = 30
    # PDS is asked again about a flagged child on an arrival after so long: it may be restricted now
    flagged_recheck_hours: int = Field(default=24, ge=1)
    # PDS is asked again about every flagged person, in turn, also without an arrival
    reverify_flagged_days: int = Field(default=7, ge=1, le=365)
    backmatch_hours: int = 48
    adult_age_years: int = 18
    # An entry whose answer may change with time is asked again so many hours after it was opened
    worklist_retry_hours: tuple[float, ...] = (1, 6, 24, 72, 168)
    # How many of these may be before PDS at a time, of all entries
    worklist_retries_at_once: int = Field(default=10, ge=1, le=1000)
    # Flags and deaths that nobody resolved end after so long, and their bodies with them
    worklist_days: int = Field(default=30, ge=2, le=90)
    # Who takes an entry in hand has it so long
    worklist_claim_minutes: int = Field(default=30, ge=1, le=1440)


class WorkerSettings(_Section):
    """The batch channel of a stage."""

    max_batch: int = Field(default=500, ge=1)
    # Of each further topic of a stage (deaths, flags) beside the first (attendances): it goes first
    max_background: int = Field(default=100, ge=1)
    # A batch not taken by the agent, or without a verdict, ends the process (non-zero)
    take_seconds: float = 5.0
    verdict_seconds: float = 60.0
    transient_seconds: float = 60.0
    stop_seconds: float = 10.0
    max_poison_in_a_row: int = 20


class DeliverySettings(_Section):
    """The dispatcher."""

    timeout_seconds: float = 5.0
    lease_seconds: float = 30.0
    first_retry_seconds: float = 2.0
    max_retry_seconds: float = 300.0
    breaker_seconds: float = 5.0
    poll_seconds: float = 1.0
    concurrency: int = 16
    # HL7 v2 listeners (mllp:// and mllps:// endpoints): from connecting to their ACK
    mllp_timeout_seconds: float = Field(default=10.0, gt=0)
    # At once to one listener, one message on each; many take only one
    mllp_connections: int = Field(default=1, ge=1, le=16)
    mllp_idle_seconds: float = Field(default=30.0, gt=0)
    mllp_facility: str = Field(default="HALYARD", pattern=r"^[A-Za-z0-9 ._-]{1,20}$")  # MSH-4
    # Networks outside the public internet where endpoints may be, as ["10.20.0.0/16"]. RISK: who
    # writes the directory can have the hub call them. None: in practice all, in production none
    networks: tuple[str, ...] | None = None
    # mllps:// trusts these authorities (PEM; default: the machine's), and shows this certificate
    mllp_ca_file: Path | None = None
    mllp_certificate_file: Path | None = None
    mllp_key_file: Path | None = None

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for one in value or ():
            try:
                ipaddress.ip_network(one)
            except ValueError:
                raise ValueError("not a network (10.20.0.0/16, or one address)") from None
        return value


class MailboxSettings(_Section):
    """Letters to organisations (answers, report requests, prompts)."""

    # A letter is deleted after so long; one that must be acknowledged or pushed waits for that
    keep_days: int = Field(default=90, ge=1)


class CasesSettings(_Section):
    """Cases of child deaths (`halyard worker cases`)."""

    # An update or void waits so long for the submission that it follows
    hold_hours: float = Field(default=24.0, gt=0)
    sweep_seconds: float = Field(default=5.0, gt=0)  # how often ends of holds are looked for
    report_due_days: int = Field(default=21, ge=1, le=365)  # of a panel without its own number


class Hl7v2Settings(_Section):
    """The MLLP listener."""

    host: str = "127.0.0.1"  # production refuses a wider address without TLS
    port: int = 2575
    # PEM files. With a certificate the listener speaks TLS (1.2 or newer) and nothing else
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    # With it every sender must show a certificate that one of these authorities has signed
    tls_client_ca: Path | None = None
    tls_required: bool = False  # refuse to start without TLS, on loopback too
    max_message_bytes: int = 1_000_000
    # Messages in one frame with batch headers
    max_batch_messages: int = Field(default=1_000, ge=1)
    max_connections: int = Field(default=500, ge=1)
    # Raise it for a load balancer that hides the senders' own addresses
    max_connections_per_address: int = Field(default=200, ge=1)
    # Over all connections: half for frames that are not complete yet, half for those in work
    max_buffered_bytes: int = Field(default=64_000_000, ge=4_000_000)
    # Refused messages an address may send for long; beyond, its connections are read more slowly
    refusals_per_second: float = Field(default=20.0, gt=0)
    read_timeout_seconds: float = 30.0
    idle_timeout_seconds: float = 600.0
    # The broker's confirmation must come before the sender's own ACK time-out
    ack_timeout_seconds: float = 10.0
    max_in_flight: int = 64

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate is None) is not (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together; set both or neither")
        if self.tls_certificate is None and (self.tls_required or self.tls_client_ca):
            raise ValueError("TLS needs tls_certificate and tls_key; set them")
        return self


class FhirSettings(_Section):
    """FHIR messages (`halyard serve`)."""

    max_message_bytes: int = Field(default=1_000_000, ge=1_000)
    max_entries: int = Field(default=100, ge=3)
    max_depth: int = Field(default=32, ge=8, le=200)  # of JSON within JSON


class HttpSettings(_Section):
    """`halyard serve`."""

    # The face's own role: row-level security shows it the rows of whoever asks
    database_url: SecretStr = SecretStr("postgresql://halyard_face@127.0.0.1:5432/halyard")
    host: str = "127.0.0.1"
    port: int = 8080
    max_body_bytes: int = 64_000
    max_upload_bytes: int = 200_000_000
    max_upload_line_bytes: int = 16_000
    # Uploads that state an older Halyard-Client-Version are refused (CPF06)
    oldest_client_version: str | None = Field(default=None, pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})*$")
    # /livez, /readyz and /metrics of every other process, on loopback; 0 = any free port
    health_port: int = 0


class NcmdSettings(_Section):
    """The NCMD store, and the HTTP interface to which its cases may be submitted."""

    # The store's own role: rights on the schema `ncmd` alone
    database_url: SecretStr = SecretStr("postgresql://halyard_ncmd@127.0.0.1:5432/halyard")
    # RISK: goes on from the oldest record of the log although the store lacks versions before it,
    # at these places alone (partition:offset, …). Only after `halyard cases republish --all`
    after_gap: str = Field(default="refuse", pattern=r"^(refuse|\d+:\d+(,\d+:\d+)*)?$")
    # Where cases are submitted; none or empty: nowhere. NCMD has published no interface
    submit_url: str | None = None
    submit_token: SecretStr | None = None
    submit_timeout_seconds: float = Field(default=10.0, gt=0)
    submit_first_retry_seconds: float = Field(default=5.0, gt=0)
    submit_max_retry_seconds: float = Field(default=3_600.0, gt=0)
    submit_max_attempts: int = Field(default=60, ge=1)
    # A message that was taken without an answer: when to ask for it, and when to send it again
    submit_poll_seconds: float = Field(default=10.0, gt=0)
    submit_answer_seconds: float = Field(default=900.0, gt=0)
    submit_breaker_seconds: float = Field(default=30.0, gt=0)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Settings(BaseSettings):
    """Everything a process needs to know; sections are frozen."""

    model_config = SettingsConfigDict(
        env_prefix="HALYARD_",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    profile: Profile = Profile.PRACTICE
    data_dir: Path = Path("~/.local/share/halyard")
    log_level: str = "INFO"
    directory_file: Path = Path("config/directory.toml")
    # Named fault point for tests, e.g. "identity.after_commit:kill:1"; refused in production
    fault: str | None = None
    kafka: KafkaSettings = KafkaSettings()
    database: DatabaseSettings = DatabaseSettings()
    security: SecuritySettings = SecuritySettings()
    pds: PdsSettings = PdsSettings()
    identity: IdentitySettings = IdentitySettings()
    worker: WorkerSettings = WorkerSettings()
    delivery: DeliverySettings = DeliverySettings()
    mailbox: MailboxSettings = MailboxSettings()
    cases: CasesSettings = CasesSettings()
    hl7v2: Hl7v2Settings = Hl7v2Settings()
    fhir: FhirSettings = FhirSettings()
    http: HttpSettings = HttpSettings()
    access: AccessSettings = AccessSettings()
    sessions: SessionSettings = SessionSettings()
    audit: AuditSettings = AuditSettings()
    ncmd: NcmdSettings = NcmdSettings()
    policies: PolicySettings = PolicySettings()
    retention: RetentionSettings = RetentionSettings()
    tracing: TracingSettings = TracingSettings()

    @model_validator(mode="after")
    def _fail_closed(self) -> Self:
        if self.profile is Profile.PRODUCTION:
            if self.fault:
                raise ValueError("HALYARD_FAULT is for tests; unset it in production")
            if self.pds.token is not None:
                raise ValueError(
                    "HALYARD_PDS__TOKEN is for practice; production signs: set "
                    "HALYARD_PDS__TOKEN_URL, __API_KEY, __PRIVATE_KEY_FILE and __KEY_ID"
                )
            if self.pds.token_url and not self.pds.token_url.startswith("https://"):
                raise ValueError("production asks over TLS: HALYARD_PDS__TOKEN_URL is https://")
            if not self.security.given:
                raise ValueError(
                    "production needs HALYARD_SECURITY__SECRETS_FILE, or both keys from elsewhere"
                )
            if not self.hl7v2.tls_certificate and not _is_loopback(self.hl7v2.host):
                raise ValueError(
                    "production listens for MLLP on loopback alone, or with TLS: set "
                    "HALYARD_HL7V2__TLS_CERTIFICATE and HALYARD_HL7V2__TLS_KEY"
                )
            if self.ncmd.submit_url and not self.ncmd.submit_url.startswith("https://"):
                raise ValueError(
                    "production submits over TLS: HALYARD_NCMD__SUBMIT_URL is https://"
                )
            if self.sessions.client_id is not None and not self.sessions.secure:
                raise ValueError(
                    "production is browsed over TLS: HALYARD_SESSIONS__PUBLIC_URL is https://"
                )
        if self.sessions.client_id is not None and self.access.issuer is None:
            raise ValueError("sessions need an issuer to log in at: set HALYARD_ACCESS__ISSUER")
        if self.log_level.upper() not in {"INFO", "WARNING", "ERROR", "CRITICAL"}:
            # libraries write payloads and URLs at DEBUG
            raise ValueError("HALYARD_LOG_LEVEL must be INFO, WARNING, ERROR or CRITICAL")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if config := os.environ.get("HALYARD_CONFIG"):
            sources += (TomlConfigSettingsSource(settings_cls, toml_file=config),)
        return sources


def load_settings() -> Settings:
    """Settings from the environment and ``HALYARD_CONFIG``.

    Raises `ConfigurationError` that names each wrong setting, without its value.
    """
    if (config := os.environ.get("HALYARD_CONFIG")) and not Path(config).is_file():
        raise ConfigurationError(f"HALYARD_CONFIG names {config}, which is not a file; correct it.")
    try:
        return Settings()
    except tomllib.TOMLDecodeError:
        # its text quotes the line, which may hold a password
        raise ConfigurationError(f"HALYARD_CONFIG names {config}, which is not TOML.") from None
    except SettingsError as error:
        # names the field; what it was given stands in its cause
        field = re.search(r'field "(\w+)"', str(error))
        name = f"HALYARD_{field[1].upper()}" if field else "A HALYARD_ variable"
        raise ConfigurationError(f"{name}, or a part of it, is not the JSON it must be.") from None
    except ValidationError as error:
        places = "; ".join(
            f"HALYARD_{'__'.join(str(part) for part in issue['loc']).upper()}: {issue['msg']}"
            if issue["loc"]
            else issue["msg"]
            for issue in error.errors(include_input=False, include_url=False)
        )
        raise ConfigurationError(f"Settings: {places}") from None
