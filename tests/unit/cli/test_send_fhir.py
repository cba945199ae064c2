"""What `halyard deaths send` sends of a file, and what it says of an answer."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from connectors.fhir import client
from connectors.fhir.client import FhirClient
from connectors.fhir.outcomes import Issue, accepted, refused
from halyard.cli.deaths import answering
from halyard.cli.run import _show_addresses
from halyard.cli.send_fhir import bundles
from halyard.cli.system import Addresses, System
from halyard.errors import ConfigurationError
from halyard.problems import problem

FILE = Path("deaths.json")
LONE = r'{"entry": [{"resource": {"resourceType": "Parameters", "note": "lost \ud83d"}}]}'


async def _issues(monkeypatch: pytest.MonkeyPatch, status: int, body: bytes) -> tuple[str, ...]:
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, content=body))

    def http(**settings: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(**settings, transport=transport)

    stand_in = SimpleNamespace(AsyncClient=http, HTTPError=httpx.HTTPError, codes=httpx.codes)
    monkeypatch.setattr(client, "httpx", stand_in)
    async with FhirClient("http://hub.example", "a token") as hub:
        return (await hub.send(b"{}")).issues


async def test_an_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule, element and advice of each error; of a warning the rule and the element alone."""
    errors = [Issue("unknown-feed", "Bundle.entry[0]"), Issue("version-missing", "")]
    first, second = await _issues(monkeypatch, 403, refused(errors))
    assert first.startswith("unknown-feed Bundle.entry[0]: No FHIR feed of your organisation")
    assert second.startswith("version-missing: Send the parameter `version`")
    taken = accepted(uuid.uuid4(), ["code-unknown:a.b"])
    assert await _issues(monkeypatch, 202, taken) == ("accepted", "code-unknown a.b")


async def test_a_problem_says_its_detail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong token is told to send the organisation's."""
    said = "Send your organisation's token: Authorization: Bearer …"
    answer = problem(401, "Not authenticated", said, rule="http.unauthenticated")
    assert await _issues(monkeypatch, 401, bytes(answer.body)) == (said,)
    assert await _issues(monkeypatch, 502, b"<html>") == ()


def test_half_a_character_is_sent_as_it_stands() -> None:
    """The hub takes a lone surrogate, so alone, in an array and with a request it is sent."""
    assert bundles(LONE, FILE) == [LONE.encode()]
    in_array = bundles(f"[{LONE}, {LONE}]", FILE)
    assert [json.loads(one) for one in in_array] == [json.loads(LONE)] * 2
    request = uuid.uuid4()
    answer = answering(LONE.encode(), request)
    assert rb"lost \ud83d" in answer
    assert f"urn:uuid:{request}".encode() in answer


@pytest.mark.parametrize("content", ['{"a": ', "[" * 100_000, "[]"])
def test_a_file_without_messages_is_refused_by_its_name(content: str) -> None:
    """Broken or bottomless JSON, or nothing in it: the error names the file."""
    with pytest.raises(ConfigurationError, match=r"deaths\.json"):
        bundles(content, FILE)


def test_the_closing_hint_tells_of_deaths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`halyard up` names the command for deaths and where the practice receiver answers."""
    addresses = Addresses(1, "api", "pds", "authority", "contact", "http://ncmd.example", "kafka")
    _show_addresses(cast("System", SimpleNamespace(addresses=addresses, data_dir=tmp_path)))
    shown = capsys.readouterr().out
    assert "halyard deaths send" in shown
    assert "http://ncmd.example/cases" in shown
