"""``halyard flags`` as a command: the format by the file's name, the answers of an upload."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from halyard.cli.flags import NotKnown
from halyard.cli.main import app
from halyard.cli.output import Exit
from halyard.postgres import transaction
from schemas import codec
from schemas.events import FlagSubmitted, SubmissionKind
from schemas.topics import FLAG_SUBMITTED
from stores import uploads
from stores.uploads import Answer, Line, Trailer
from tests.support.face import NORTH, ROOT, TOKENS, Hub, hub, settings
from tests.support.services import Database

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
NO_MATCH = Answer("CPR01", "Because.")
SAMPLE = ROOT / "sandbox" / "samples" / "flags.csv"


@pytest.fixture
async def face(kafka_bootstrap: str, namespace: str, database: Database) -> AsyncIterator[Hub]:
    """A hub on bus and database."""
    made = settings(bootstrap=kafka_bootstrap, namespace=namespace, database_url=database.url)
    async with hub(made) as running:
        yield running


async def flags(face: Hub, place: Path, *arguments: str) -> Result:
    """What ``halyard flags …`` does with North's token, in a thread: it has a loop of its own."""
    environment = {"HALYARD_TOKEN": TOKENS[NORTH], "HALYARD_DATA_DIR": str(place)}
    command = ["flags", *arguments, "--url", face.url]
    return await asyncio.to_thread(CliRunner().invoke, app, command, env=environment)


async def test_a_file_named_csv_is_sent_as_one_with_its_dates_filled_in(
    face: Hub, tmp_path: Path
) -> None:
    """Refused rows make it exit with 1, and are named."""
    done = await flags(face, tmp_path, "upload", str(SAMPLE), "--wait", "0")
    assert done.exit_code == Exit.FAILED, done.output
    assert "4 taken, 2 refused" in done.output
    assert "line 7 nhs_number:" in done.output
    records = [
        codec.decode_as(FlagSubmitted, one.value) for one in await face.records(FLAG_SUBMITTED)
    ]
    (trailer,) = [one for one in records if one.kind is SubmissionKind.TRAILER]
    assert (trailer.file_format, trailer.count, trailer.refused) == ("csv", 4, 2)


async def test_the_answers_of_an_upload_are_shown(face: Hub, tmp_path: Path) -> None:
    """What is not held, and the file's code; everything with --all; 1 unless all is held."""
    upload = uuid.UUID(int=7)
    made = [
        Line(upload, number, uuid.UUID(int=100 + number), NORTH, 1, AT, f"C-{number}")
        for number in (1, 2)
    ]
    async with transaction(face.pool) as connection:
        await uploads.register(connection, made, [])
        await uploads.expect(connection, upload, Trailer(2))
        answers = {made[0].reported_event_id: Answer("CPR06"), made[1].reported_event_id: NO_MATCH}
        await uploads.answer(connection, answers, now=AT)
    done = await flags(face, tmp_path, "answers", str(upload))
    assert done.exit_code == Exit.FAILED
    assert "line 2 C-2: CPR01" in done.output
    assert "C-1" not in done.output
    assert "CPF03 Some records are held, others are not: 1 CPR01, 1 CPR06" in done.output
    done = await flags(face, tmp_path, "answers", str(upload), "--all", "--json")
    document: dict[str, Any] = json.loads(done.output)
    assert [one["line"] for one in document["answers"]] == [1, 2]
    assert document["file"]["code"] == "CPF03"
    done = await flags(face, tmp_path, "answers", str(uuid.uuid4()))
    assert isinstance(done.exception, NotKnown)
