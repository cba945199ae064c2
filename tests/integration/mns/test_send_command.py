"""`halyard pds changes send`: notifications reach the hub with the relay's token, and each answer
is said."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from halyard.cli.main import app
from halyard.errors import ConfigurationError
from sandbox.pds.people import Person
from sandbox.pds.server import PdsThread
from schemas.topics import PERSON_CHANGED
from tests.integration.mns.test_events import RELAY, face
from tests.support.face import Hub
from tests.unit.mns.test_reading import NUMBER, bundle, cloud_event

__all__ = ["face"]


@pytest.fixture(autouse=True)
def _relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a running system is found; the token is the relay's."""
    monkeypatch.setenv("HALYARD_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("HALYARD_TOKEN", RELAY)


async def send(*arguments: str, text: str | None = None) -> Result:
    """One command, beside the test's own loop."""
    given = ["pds", "changes", "send", *arguments]
    return await asyncio.to_thread(CliRunner().invoke, app, given, input=text)


async def test_a_file_of_notifications_is_handed_in(face: Hub, tmp_path: Path) -> None:
    """Both shapes, one after the other; no number is printed."""
    file = tmp_path / "changes.json"
    file.write_text(json.dumps([cloud_event(), bundle(), cloud_event(type="pds-change-of-gp-2")]))
    done = await send(str(file), "--url", face.url)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[:2] == ["1: 202 1 taken", "2: 202 1 taken"]
    assert "practice" in done.output
    assert NUMBER not in done.output
    assert len(await face.records(PERSON_CHANGED)) == 2


async def test_what_the_practice_pds_answered_to_a_change_is_taken_from_standard_input(
    face: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One event, though the answer has both shapes of it; so with --practice, which asks itself."""
    person = Person(
        nhs_number=NUMBER, family="Testchild", given=("Robin",), birth_date="2017-03-14"
    )
    with PdsThread([person]) as pds:
        event = pds.pds.change({"change": "restrict", "nhs_number": NUMBER}, pds.url)
        answer = json.dumps({"event": event.cloud_event(), "bundle": event.bundle()})
        piped = await send("-", "--url", face.url, "--json", text=answer)
        monkeypatch.setenv("HALYARD_PDS__BASE_URL", pds.url)
        asked = await send("--practice", "--url", face.url, "--json")
    for done in (piped, asked):
        assert [one["taken"] for one in json.loads(done.stdout)["answers"]] == [1]
    assert len(await face.records(PERSON_CHANGED)) == 2


async def test_a_refusal_is_said_with_rule_and_place_and_fails(face: Hub, tmp_path: Path) -> None:
    """The others are sent all the same."""
    file = tmp_path / "changes.json"
    file.write_text(json.dumps([cloud_event(subject="12"), cloud_event()]))
    done = await send(str(file), "--url", face.url)
    assert done.exit_code == 1
    assert "mns.subject at subject" in done.output
    assert len(await face.records(PERSON_CHANGED)) == 1


@pytest.mark.parametrize("text", ["not json", "[]", "[1]", '"x"'])
async def test_what_is_no_notification_is_a_sentence(text: str) -> None:
    """Before anything is sent; it never repeats what stands there."""
    done = await send("-", "--url", "http://127.0.0.1:9", text=text)
    assert isinstance(done.exception, ConfigurationError)
    assert text not in str(done.exception)


async def test_a_file_or_the_practice_pds_never_both(tmp_path: Path) -> None:
    """Usage, as of neither."""
    both: list[Any] = [[], [str(tmp_path / "a.json"), "--practice"]]
    for arguments in both:
        assert (await send(*arguments)).exit_code == 2
