"""``halyard sandbox pds`` is of use on its own: no hub, no database, no Kafka."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from joserfc.jwk import KeyParameters, RSAKey
from pydantic import SecretStr

from bench import pds_memory
from halyard.cli import processes
from halyard.errors import ConfigurationError
from halyard.settings import PdsSettings, Profile, Settings
from halyard.signing import ASSERTION_TYPE, sign_as_client
from sandbox.pds.faults import Faults
from sandbox.pds.population import populate
from sandbox.pds.process import Options, practice_settings
from sandbox.pds.tokens import practice_app
from sandbox.samples.cast import CAST

MAIN = (sys.executable, "-m", "halyard.cli.main", "sandbox", "pds")


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[dict[str, Any]]:
    """The command in an empty folder, without a setting of a hub; gives its line."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("HALYARD_")
    }
    with subprocess.Popen(
        [*MAIN, *arguments],
        cwd=folder,
        env=environment | {"HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=15) == 0
        finally:
            process.kill()


def get(base_url: str, number: str, **headers: str) -> httpx.Response:
    """A retrieval."""
    return httpx.get(
        f"{base_url}/Patient/{number}", headers={"X-Request-ID": str(uuid4()), **headers}
    )


def test_it_needs_no_hub(tmp_path: Path) -> None:
    """Alone, with generated people, a made key and a ration: its line says where, a signed
    assertion gets a token, and the token gets a generated person."""
    key_file = tmp_path / "keys" / "app.pem"
    parameters: KeyParameters = {"kid": "practice-1", "alg": "RS512"}
    key_file.parent.mkdir()
    made = RSAKey.generate_key(2048, parameters)
    key_file.write_bytes(made.as_pem(private=True))
    with running(
        tmp_path, "--generate", "20", "--seed", "3", "--app-key", str(key_file),
        "--calls-per-second", "2", "--organisation-required",
    ) as line:  # fmt: skip
        assert line["token_url"].endswith("/oauth2/token")
        assertion = sign_as_client(
            made, client_id="practice-app", audience=line["token_url"],
            now=int(time.time()), seconds=240,
        )  # fmt: skip
        form = {"grant_type": "client_credentials", "client_assertion": assertion,
                "client_assertion_type": ASSERTION_TYPE}  # fmt: skip
        token = httpx.post(line["token_url"], data=form).json()["access_token"]
        person = next(each for each in populate(20, 3) if not each.invalidated)
        headers = {"Authorization": f"Bearer {token}", "NHSD-End-User-Organisation-ODS": "X26"}
        assert get(line["base_url"], person.nhs_number, **headers).json()["id"] == person.nhs_number
        assert get(line["base_url"], CAST.robin.nhs_number).status_code == 401
        alive = httpx.get(line["base_url"].partition("/personal")[0] + "/livez").json()
        assert alive["people"] > 60


def test_settings_by_options() -> None:
    """Nothing said: the practice token alone; `--no-auth`: nobody is asked; a static token and
    the faults are as said."""
    plain = practice_settings(Options(), PdsSettings())
    assert (plain.token, dict(plain.apps)) == ("practice-token", {})
    open_to_all = practice_settings(Options(no_auth=True), PdsSettings(token=SecretStr("hub's")))
    assert (open_to_all.token, dict(open_to_all.apps)) == (None, {})
    said = practice_settings(
        Options(static_token="mine", faults=Faults(latency_ms=5)), PdsSettings()
    )
    assert (said.token, said.faults.latency_ms) == ("mine", 5)
    with pytest.raises(ConfigurationError, match="leave one or the other out"):
        practice_settings(Options(no_auth=True, static_token="x"), PdsSettings())


def test_a_hubs_own_application_is_registered(tmp_path: Path) -> None:
    """Beside a hub that signs, the practice PDS knows the hub's application, and takes nothing
    else; a key file that is not there is said, and none is made."""
    key_file = tmp_path / "pds-key.pem"
    hub = PdsSettings(
        token_url="http://127.0.0.1:1/oauth2/token", api_key=SecretStr("the-hub"),
        private_key_file=key_file, key_id="hub-1",
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="PRIVATE_KEY_FILE"):
        practice_settings(Options(), hub)
    assert not key_file.exists()
    practice_app(key_file, bits=2048)
    settings = practice_settings(Options(), hub)
    assert settings.token is None
    assert [key.kid for key in settings.apps["the-hub"].keys] == ["hub-1"]
    assert "the-hub" not in repr(settings)


def test_it_does_not_run_in_production(tmp_path: Path) -> None:
    """In the production profile it ends with a sentence, and answers nothing, also where all
    other settings are those of production."""
    with pytest.raises(ConfigurationError, match="does not run in production"):
        processes._practice_only(Settings.model_construct(profile=Profile.PRODUCTION))
    run = subprocess.run(
        MAIN, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "HALYARD_PROFILE": "production", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert run.returncode != 0
    assert "practice_pds_ready" not in run.stdout
    assert "Traceback" not in run.stderr


def test_help_says_what_it_does() -> None:
    """`--help` names every option."""
    shown = subprocess.run(
        [*MAIN, "--help"], capture_output=True, text=True, check=True, timeout=30,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    ).stdout  # fmt: skip
    for option in (
        "--port", "--people", "--generate", "--seed", "--calls-per-second", "--latency-ms",
        "--latency-jitter-ms", "--error-rate", "--no-auth", "--static-token", "--apps",
        "--app-key", "--api-key", "--key-id", "--token-seconds", "--organisation-required",
    ):  # fmt: skip
        assert option in shown


@pytest.mark.slow
def test_the_bench_measures_memory_and_writes_its_page(tmp_path: Path) -> None:
    """A tiny population: every answer is right, and the figures stand between the markers."""
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{pds_memory.BEGIN}\n{pds_memory.END}\nafter\n")
    assert pds_memory.main(["--people", "300", "--calls", "30", "--page", str(page)]) == 0
    text = page.read_text()
    assert "300 people" in text
    assert "retrieval, p50 / p99 ms" in text
    assert "Goal: under 300 MB, met." in text
