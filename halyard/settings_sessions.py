"""Settings of people's sessions: log-in at the issuer of `access.issuer`, by browser."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from halyard.settings_section import Section


class SessionSettings(Section):
    """People log in with a browser, at the OpenID Connect issuer that `access.issuer` names."""

    # The hub as the issuer knows it; none: nobody can log in by browser
    client_id: str | None = Field(default=None, min_length=1, max_length=200)
    # Its private key (one JWK, or a set whose first key signs), mode 0600; none: a public client
    client_key_file: Path | None = None
    # The address at which browsers reach the hub, without a path: https://hub.example.nhs.uk
    public_url: str | None = None
    scope: str = "openid profile"
    idle_minutes: float = Field(default=30.0, gt=0, le=24 * 60)
    longest_hours: float = Field(default=12.0, gt=0, le=24)
    most_per_person: int = Field(default=10, ge=1, le=1_000)
    timeout_seconds: float = Field(default=5.0, gt=0, le=30)  # of a call to the issuer

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.client_id is not None and self.public_url is None:
            raise ValueError("sessions need public_url, the address at which browsers come")
        if self.public_url is not None:
            parts = urlsplit(self.public_url)
            if f"{parts.scheme}://{parts.netloc}" != self.public_url or "@" in parts.netloc:
                raise ValueError("public_url is a scheme, a host and maybe a port, nothing else")
            # a browser's Origin is compared letter by letter (RFC 6454, section 6.1)
            usual = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
            if self.public_url != self.public_url.lower() or (
                usual and parts.netloc.endswith(usual)
            ):
                raise ValueError("public_url is as browsers write it: lower case, no default port")
            if parts.scheme != "https" and not (
                parts.scheme == "http" and _on_loopback(parts.hostname or "")
            ):
                raise ValueError("public_url is https://, but for http:// on loopback (practice)")
        return self

    @property
    def secure(self) -> bool:
        """Whether browsers come over TLS, so that cookies can ask for it."""
        return self.public_url is not None and self.public_url.startswith("https://")


def _on_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
