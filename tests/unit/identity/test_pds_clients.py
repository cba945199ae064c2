"""In whose name PDS is asked, and with which token."""

from __future__ import annotations

from pathlib import Path

import pytest
from joserfc.jwk import RSAKey

from halyard.errors import ConfigurationError
from halyard.postgres import make_pool
from halyard.settings import PdsSettings, SecuritySettings, Settings
from stores.directory import Authority, Directory, Hospital
from stores.panels import Agency
from streams.tracer.clients import Clients
from streams.tracer.tracer import ration_of

GSS = "E08000001"


def directory(**authority: str) -> Directory:
    """A hospital, two agencies, and an authority."""
    council = Authority(gss=GSS, name="Council", **authority)
    agencies = (
        Agency(code="Y00001", name="Surgery", kind="general-practice"),
        Agency(code="QZ8", name="Constabulary", kind="police"),
    )
    return Directory(
        {"RZ9": Hospital(ods="RZ9", name="Hospital")},
        (),
        {GSS: council},
        {},
        (),
        agencies={one.code: one for one in agencies},
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [("RZ9", "RZ9"), ("Y00001", "Y00001"), ("QZ8", None), (GSS, "209"), ("XYZ", None)],
)
def test_an_ods_code_is_stated_never_guessed(code: str, expected: str | None) -> None:
    """A hospital's and a surgery's own; an authority's as the directory states it; nobody else's,
    since an operator's code or a GSS code may be another's ODS code."""
    assert directory(ods="209").ods_of(code) == expected
    assert directory().ods_of(GSS) is None


async def test_pds_is_asked_in_the_name_of_whoever_is_served() -> None:
    """One client for each ODS code; who has none is asked for in the hub's own name."""
    settings = Settings(pds=PdsSettings(organisation="X27"))
    pool = make_pool(settings, name="test")
    clients = Clients(settings, directory(ods="209"), pool, ration_of(settings.pds))

    def named(code: str) -> str:
        return str(clients.client_for(code)._http.headers["NHSD-End-User-Organisation-ODS"])

    try:
        assert [named(code) for code in ("RZ9", GSS, "QZ8", "XYZ")] == ["RZ9", "209", "X27", "X27"]
        assert clients.client_for("QZ8") is clients.client_for("XYZ")
        assert clients.client_for("RZ9") is not clients.client_for(GSS)
    finally:
        await clients.aclose()


async def test_production_needs_what_onboarding_gives(tmp_path: Path) -> None:
    """Without a registered application, or the hub's own code, the tracer does not start."""
    key_file = tmp_path / "pds.pem"
    key = RSAKey.generate_key(2_048)
    key_file.write_bytes(key.as_pem(private=True))
    key_file.chmod(0o600)
    whole = {
        "base_url": "https://pds.test/FHIR/R4",
        "token_url": "https://pds.test/oauth2/token",
        "api_key": "app",  # pragma: allowlist secret
        "private_key_file": key_file,
        "key_id": "test-1",
        "organisation": "X27",
    }
    security = SecuritySettings(secrets_file=key_file)

    def clients(**changes: object) -> Clients:
        pds = PdsSettings(**{**whole, **changes})
        settings = Settings(profile="production", security=security, pds=pds)
        pool = make_pool(settings, name="test")
        return Clients(settings, directory(), pool, ration_of(settings.pds))

    good = clients()
    assert good.client_for("RZ9") is not None
    await good.aclose()
    for missing in ({"organisation": None}, dict.fromkeys(list(whole)[1:5])):
        with pytest.raises(ConfigurationError, match="registered application"):
            clients(**missing)
    insecure = clients(base_url="http://pds.test/FHIR/R4")
    with pytest.raises(ConfigurationError, match="https://"):
        insecure.client_for("RZ9")
    await insecure.aclose()


def test_a_lease_outlasts_a_question() -> None:
    """A question may take twice the time-out, and its answer has to be stored: with a shorter lease
    two tracers would ask the same, and nobody's answer might count."""
    assert PdsSettings().lease_seconds >= 3 * PdsSettings().timeout_seconds
    assert PdsSettings(timeout_seconds=2, lease_seconds=6).lease_seconds == 6
    for wrong in ({"timeout_seconds": 10.1}, {"lease_seconds": 29.9}):
        with pytest.raises(ValueError, match="three times timeout_seconds"):
            PdsSettings(**wrong)
