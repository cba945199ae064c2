"""Settings of the door of `halyard serve`: who is let in, and how often."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from halyard.settings_section import Section


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("no network; write 10.1.0.0/16, or one address") from None
    return text


Network = Annotated[str, AfterValidator(_network)]
# What can be checked with a public key alone: never "none", never a shared key (HS…)
Algorithm = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
]


class AccessSettings(Section):
    """Who is let in to `halyard serve`, and how often."""

    # The hub's own address, as tokens name it in `aud`; production needs one of its own
    audience: str = Field(default="urn:halyard:practice", min_length=1, max_length=400)
    # The OpenID Connect issuer, exactly as it stands in `iss`; none: no token of an issuer is taken
    issuer: str | None = Field(default=None, min_length=1, max_length=400)
    # Where its keys (JWKS) are, if not where its own /.well-known/openid-configuration says
    issuer_keys_url: str | None = None
    issuer_keys_file: Path | None = None
    keys_seconds: float = Field(default=300.0, ge=1)  # until the keys are fetched again
    # So long the last good keys hold while the issuer is away; then nobody comes in by them
    keys_grace_seconds: float = Field(default=3_600.0, ge=0, le=86_400)
    unknown_key_seconds: float = Field(default=30.0, ge=1)  # between fetches for unknown keys
    algorithms: tuple[Algorithm, ...] = Field(
        default=("RS512", "PS512", "ES256", "EdDSA", "Ed25519"), min_length=1
    )
    clock_skew_seconds: int = Field(default=30, ge=0, le=60)
    longest_token_seconds: int = Field(default=3_600, ge=60, le=86_400)  # of an issuer's token
    # Claims of an issuer's token
    organisation_claim: str = "organisation"  # an ODS or GSS code
    roles_claim: str = "roles"  # codes that the directory maps ([[role_map]])
    name_claim: str = "name"
    job_role_claim: str = "job_role"
    # What marks a person in an access token: this claim with this value ("idtyp" and "user"); none:
    # that it says when somebody logged in (auth_time). Who is not marked is a system
    person_claim: str | None = Field(default=None, min_length=1)
    person_value: str | None = Field(default=None, min_length=1)
    # So long a machine's token waits for the database to say whether it was used before
    used_token_seconds: float = Field(default=0.5, gt=0, le=5)
    # RISK: takes shared tokens ([[credential]]) in production, which never expire
    practice_tokens: bool = False
    # The header in which a proxy of these networks says which certificate its client has shown
    certificate_header: str = Field(
        default="x-client-certificate-sha256", pattern=r"^[a-z0-9-]{1,60}$"
    )
    trusted_proxies: tuple[Network, ...] = ()
    # Of one subject of one organisation; 0: no limit
    requests_per_second: float = Field(default=2_000.0, ge=0)
    requests_burst: int = Field(default=20_000, ge=1)
    # Failed log-ins of one address; 0: no limit
    failures_per_second: float = Field(default=20.0, ge=0)
    failures_burst: int = Field(default=200, ge=1)
    max_concurrent_requests: int = Field(default=1_000, ge=1)

    @model_validator(mode="after")
    def _marks_people(self) -> Self:
        if (self.person_claim is None) is not (self.person_value is None):
            raise ValueError("person_claim and person_value mark a person together: set both")
        return self
