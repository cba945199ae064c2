"""Settings: from variables and one file; unsafe combinations do not start."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from halyard.errors import ConfigurationError
from halyard.settings import Profile, Settings, load_settings

CANARY = "canary-9990000018"


def test_practice_needs_nothing() -> None:
    """Defaults start on one machine, and bind to loopback only."""
    settings = load_settings()
    assert settings.profile is Profile.PRACTICE
    assert settings.hl7v2.host == settings.http.host == "127.0.0.1"


def test_variables_reach_their_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """A double underscore stands between section and setting."""
    monkeypatch.setenv("HALYARD_KAFKA__NAMESPACE", "t1")
    monkeypatch.setenv("HALYARD_WORKER__MAX_BATCH", "7")
    settings = load_settings()
    assert settings.kafka.namespace == "t1"
    assert settings.worker.max_batch == 7


def test_variables_win_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file gives what the environment does not."""
    file = tmp_path / "halyard.toml"
    file.write_text('log_level = "WARNING"\n[kafka]\nnamespace = "file"\nmax_record_bytes = 9\n')
    monkeypatch.setenv("HALYARD_CONFIG", str(file))
    monkeypatch.setenv("HALYARD_KAFKA__NAMESPACE", "variable")
    settings = load_settings()
    assert settings.log_level == "WARNING"
    assert settings.kafka.namespace == "variable"
    assert settings.kafka.max_record_bytes == 9


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error in HALYARD_CONFIG does not fall back to defaults."""
    monkeypatch.setenv("HALYARD_CONFIG", str(tmp_path / "absent.toml"))
    with pytest.raises(ConfigurationError, match=r"absent\.toml"):
        load_settings()


def test_a_broken_file_is_named_without_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that cannot be parsed may hold a password."""
    file = tmp_path / "halyard.toml"
    file.write_text(f"database = {CANARY}\n")
    monkeypatch.setenv("HALYARD_CONFIG", str(file))
    with pytest.raises(ConfigurationError, match="not TOML") as caught:
        load_settings()
    assert CANARY not in caught.value.message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("HALYARD_WORKER__MAX_BATCH", CANARY, "HALYARD_WORKER__MAX_BATCH"),
        ("HALYARD_KAFKA__NAMESPACE", CANARY + "!", "HALYARD_KAFKA__NAMESPACE"),
        ("HALYARD_DATABASE__POOL_SIZE", "0", "HALYARD_DATABASE__POOL_SIZE"),
        ("HALYARD_KAFKA__NO_SUCH_SETTING", CANARY, "HALYARD_KAFKA__NO_SUCH_SETTING"),
        ("HALYARD_PROFILE", CANARY, "HALYARD_PROFILE"),
    ],
)
def test_a_wrong_setting_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, named: str
) -> None:
    """The message says which variable; what it held may be a secret."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert named in caught.value.message
    assert CANARY not in caught.value.message
    assert caught.value.__cause__ is None


def test_production_has_no_fault_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """HALYARD_FAULT and the production profile do not start together."""
    monkeypatch.setenv("HALYARD_PROFILE", "production")
    monkeypatch.setenv("HALYARD_SECURITY__SECRETS_FILE", "/etc/halyard/secrets.toml")
    load_settings()
    monkeypatch.setenv("HALYARD_FAULT", "identity.after_commit:kill:1")
    with pytest.raises(ConfigurationError, match="HALYARD_FAULT"):
        load_settings()


def test_production_has_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a secrets file production does not start."""
    monkeypatch.setenv("HALYARD_PROFILE", "production")
    with pytest.raises(ConfigurationError, match="HALYARD_SECURITY__SECRETS_FILE"):
        load_settings()


def test_production_listens_for_mllp_on_loopback_or_with_tls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wider address without a certificate is refused in production; with one it is taken."""
    monkeypatch.setenv("HALYARD_PROFILE", "production")
    monkeypatch.setenv("HALYARD_SECURITY__SECRETS_FILE", "secrets.toml")
    for host in ("127.0.0.1", "::1", "localhost"):
        monkeypatch.setenv("HALYARD_HL7V2__HOST", host)
        assert load_settings().hl7v2.host == host
    for host in ("0.0.0.0", "10.0.0.1", "::", "hub.example", ""):
        monkeypatch.setenv("HALYARD_HL7V2__HOST", host)
        with pytest.raises(ConfigurationError, match="HALYARD_HL7V2__TLS_CERTIFICATE"):
            load_settings()
    monkeypatch.setenv("HALYARD_HL7V2__TLS_CERTIFICATE", "hub.pem")
    monkeypatch.setenv("HALYARD_HL7V2__TLS_KEY", "hub.key.pem")
    assert load_settings().hl7v2.tls_certificate == Path("hub.pem")


@pytest.mark.parametrize("lonely", ["TLS_CERTIFICATE", "TLS_KEY", "TLS_CLIENT_CA", "TLS_REQUIRED"])
def test_half_of_tls_is_refused(monkeypatch: pytest.MonkeyPatch, lonely: str) -> None:
    """Certificate and key belong together, and whatever asks for TLS needs both."""
    monkeypatch.setenv(f"HALYARD_HL7V2__{lonely}", "true")
    with pytest.raises(ConfigurationError, match="HALYARD_HL7V2"):
        load_settings()


@pytest.mark.parametrize("level", ["DEBUG", "debug", "NOTSET", "TRACE", ""])
@pytest.mark.parametrize("profile", ["practice", "production"])
def test_no_profile_logs_below_info(
    monkeypatch: pytest.MonkeyPatch, level: str, profile: str
) -> None:
    """Libraries write payloads and URLs at DEBUG."""
    monkeypatch.setenv("HALYARD_PROFILE", profile)
    monkeypatch.setenv("HALYARD_SECURITY__SECRETS_FILE", "/etc/halyard/secrets.toml")
    monkeypatch.setenv("HALYARD_LOG_LEVEL", level)
    with pytest.raises(ConfigurationError, match="HALYARD_LOG_LEVEL"):
        load_settings()


def test_settings_cannot_be_changed_and_hide_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections are frozen; addresses with passwords and tokens are not in the repr."""
    monkeypatch.setenv("HALYARD_DATABASE__URL", f"postgresql://app:{CANARY}@127.0.0.1/x")
    monkeypatch.setenv("HALYARD_DATABASE__OWNER_URL", f"postgresql://own:{CANARY}@127.0.0.1/x")
    monkeypatch.setenv("HALYARD_PDS__TOKEN", CANARY)
    settings = load_settings()
    assert CANARY not in repr(settings)
    assert CANARY not in settings.model_dump_json()
    for thing, name in ((settings, "profile"), (settings.kafka, "namespace")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(thing, name, "other")


def test_every_setting_has_a_default() -> None:
    """A new setting may not break a running installation."""
    assert Settings() == Settings.model_validate({})
