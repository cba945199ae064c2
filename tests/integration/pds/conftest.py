"""A practice PDS over HTTP, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey

from connectors.pds.client import PdsClient
from sandbox.pds.people import Person, load_people
from sandbox.pds.server import PdsThread
from sandbox.pds.settings import PdsSandboxSettings
from sandbox.pds.tokens import practice_app
from sandbox.samples.cast import PEOPLE_FILE
from tests.support.identity import CHILD

API_KEY = "an-app"  # pragma: allowlist secret
"""Of the application that `oauth` knows."""


@pytest.fixture(scope="module")
def server() -> Iterator[PdsThread]:
    """One practice PDS for a module; `practice` cleans it for each test."""
    with PdsThread(load_people(PEOPLE_FILE), PdsSandboxSettings(token="practice-token")) as thread:
        yield thread


@pytest.fixture
def practice(server: PdsThread) -> PdsThread:
    """The practice PDS without faults and with counters at zero."""
    server.pds.reset()
    return server


@pytest.fixture
async def client(practice: PdsThread) -> AsyncIterator[PdsClient]:
    """A client with the right token."""
    async with PdsClient(
        practice.url,
        token="practice-token",
        end_user_organisation="X26",
        profile="test",
        timeout_seconds=5,
    ) as client:
        yield client


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The application's private key, as onboarding makes it."""
    path = tmp_path_factory.mktemp("key") / "pds.pem"
    path.write_bytes(RSAKey.generate_key(2_048).as_pem(private=True))
    path.chmod(0o600)
    return path


@pytest.fixture
def oauth(key_file: Path) -> Iterator[PdsThread]:
    """A PDS that takes tokens of this application, and no other."""
    child = Person(
        nhs_number=CHILD.nhs_number or "",
        family=CHILD.family or "",
        given=CHILD.given,
        birth_date=CHILD.birth_date or "",
        gender=CHILD.gender or "",
        postcode=CHILD.postcode,
    )
    apps = {API_KEY: practice_app(key_file, key_id="test-1")}
    with PdsThread([child], PdsSandboxSettings(token=None, apps=apps)) as thread:
        yield thread
