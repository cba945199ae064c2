"""The mailbox over real HTTP and a real database: read without loss, acknowledged, by its owner."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import orjson
import pytest
from typer.testing import CliRunner, Result

from connectors.fhir.mailbox import MESSAGES, RULES, decode, encode
from connectors.fhir.mailbox_client import MailboxClient, MailboxRefused
from halyard.cli.main import app
from halyard.cli.output import Exit
from halyard.postgres import transaction
from stores import mailbox
from stores.mailbox import Letter
from tests.support.face import CLINIC, INFIRMARY, TOKENS, Hub, bearer, hub, settings
from tests.support.services import Database
from tests.support.waiting import aeventually

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
MESSAGE = "d9d1c7a8-8a4e-4d0c-9d43-2f2d3c1f0a01"
RECEIPT = uuid.UUID(int=900)
CASE = uuid.UUID(int=800)


def letter(number: int, organisation: str = INFIRMARY, **more: object) -> Letter:
    """A letter with made-up content; `more` are its other fields."""
    letter_id = uuid.UUID(int=number)
    header = {
        "resourceType": "MessageHeader",
        "id": str(letter_id),
        "eventCoding": {"system": "urn:halyard:fhir:death-event", "code": "acknowledgement"},
    }
    body = orjson.dumps(
        {
            "resourceType": "Bundle",
            "id": str(letter_id),
            "type": "message",
            "timestamp": AT.isoformat(),
            "entry": [{"resource": header}],
        }
    )
    values: dict[str, object] = {
        "kind": "acknowledgement",
        "body": body,
        "created_at": AT,
        **more,
    }
    return Letter(letter_id, organisation, **values)  # type: ignore[arg-type]


async def add(face: Hub, *letters: Letter) -> None:
    """Write letters, each in a transaction of its own."""
    for one in letters:
        async with transaction(face.pool) as connection:
            await mailbox.add(connection, [one])


@pytest.fixture
async def face(database: Database) -> AsyncIterator[Hub]:
    """A face with a database; the mailbox needs no bus."""
    async with hub(settings(database_url=database.url), connect=False) as running:
        yield running


@asynccontextmanager
async def box(face: Hub, organisation: str = INFIRMARY) -> AsyncIterator[MailboxClient]:
    """A mailbox client with the organisation's token."""
    async with MailboxClient(face.url, TOKENS[organisation]) as client:
        yield client


async def listed(client: MailboxClient, *, unacknowledged: bool = False) -> list[int]:
    """The numbers of the letters that the list shows now."""
    return [one.letter_id.int async for one in client.letters(unacknowledged=unacknowledged)]


async def shows(client: MailboxClient, expected: list[int]) -> None:
    """Wait until the list is this; another test's transaction may hold the cluster's cursor."""

    async def same() -> bool:
        return await listed(client) == expected

    await aeventually(same, why=f"the list is {expected}")


async def get(face: Hub, path: str, organisation: str = INFIRMARY) -> httpx.Response:
    """A plain GET."""
    async with httpx.AsyncClient(base_url=face.url, trust_env=False) as http:
        return await http.get(path, headers=bearer(organisation))


async def test_reading_takes_nothing_away(face: Hub) -> None:
    """The list read twice is the same, and so are the bytes of a letter: a reader who crashes
    after reading has lost nothing.
    """
    await add(face, letter(1), letter(2))
    async with box(face) as client:
        await shows(client, [1, 2])
    assert (await get(face, MESSAGES)).content == (await get(face, MESSAGES)).content
    for _ in range(2):
        answer = await get(face, f"{MESSAGES}/{uuid.UUID(int=1)}")
        assert answer.headers["content-type"] == "application/fhir+json"
        assert answer.content == letter(1).body


async def test_an_acknowledged_letter_leaves_the_list_of_those_that_are_not(face: Hub) -> None:
    """204, as often as it is said, and the first time counts; the letter itself stays."""
    await add(face, letter(1), letter(2, needs_acknowledgement=True))
    async with box(face) as client:
        await shows(client, [1, 2])
        await client.acknowledge(uuid.UUID(int=1))
        first = (await client.page()).letters[0].acknowledged_at
        await client.acknowledge(uuid.UUID(int=1))
        page = await client.page()
        assert page.letters[0].acknowledged_at == first is not None
        assert [one.needs_acknowledgement for one in page.letters] == [False, True]
        assert await listed(client) == [1, 2]
        assert await listed(client, unacknowledged=True) == [2]


async def test_another_organisations_letters_are_like_none(face: Hub) -> None:
    """Not listed, not shown, not acknowledged, no answer to anything: 404 as for no letter."""
    await add(face, letter(1, message_id=MESSAGE, about=RECEIPT), letter(2, CLINIC))
    async with box(face, CLINIC) as client:
        await shows(client, [2])
        assert await client.answers(MESSAGE) == ()
        assert await client.answers(str(RECEIPT)) == ()
        for letter_id in (uuid.UUID(int=1), uuid.UUID(int=77)):
            for call in (client.show, client.acknowledge):
                with pytest.raises(MailboxRefused) as refused:
                    await call(letter_id)
                assert refused.value.rule == "letter-unknown"
    async with transaction(face.pool) as connection:
        stored = await mailbox.get(connection, INFIRMARY, uuid.UUID(int=1))
    assert stored is not None
    assert stored.acknowledged_at is None


async def test_an_answer_is_found_by_message_id_and_by_receipt(face: Hub) -> None:
    """The id that the sender gave, or the receipt of its 202; newest first."""
    await add(
        face,
        letter(1, message_id=MESSAGE, about=RECEIPT),
        letter(2, message_id="another"),
        letter(3, message_id=MESSAGE, about=RECEIPT),
    )
    async with box(face) as client:
        for asked in (MESSAGE, str(RECEIPT), f"urn:uuid:{RECEIPT}"):
            assert [one.letter_id.int for one in await client.answers(asked)] == [3, 1]
        assert await client.answers("not-known") == ()


async def test_pages_go_on_and_later_goes_on_from_the_end(face: Hub) -> None:
    """`next` as long as there is more; the relation for later stands behind what was read."""
    await add(face, *(letter(number) for number in (3, 1, 2)))
    async with box(face) as client:
        await shows(client, [3, 1, 2])
        first = await client.page(limit=2)
        assert [one.letter_id.int for one in first.letters] == [3, 1]
        second = await client.page(limit=2, after=first.next)
        assert [one.letter_id.int for one in second.letters] == [2]
        assert second.next is None
        await add(face, letter(4))

        async def more() -> list[int]:
            page = await client.page(after=second.later)
            return [one.letter_id.int for one in page.letters]

        assert await aeventually(more) == [4]


async def test_c20_a_letter_that_commits_late_is_not_skipped(face: Hub) -> None:
    """Letter 10 is written first and commits after 11: a list read in between shows neither, and
    going on from its cursor gives both; a single letter is there at once.
    """
    await add(face, letter(9))
    async with box(face) as client:
        await shows(client, [9])
        after = (await client.page()).later
        async with transaction(face.pool) as held:
            await mailbox.add(held, [letter(10)])
            await add(face, letter(11))
            page = await client.page(after=after)
            assert page.letters == ()
            assert (await client.show(uuid.UUID(int=11)))["id"] == str(uuid.UUID(int=11))
        assert page.later == after

        async def rest() -> list[int]:
            found = await client.page(after=page.later)
            return [one.letter_id.int for one in found.letters]

        assert await aeventually(rest) == [10, 11]


async def test_a_page_is_bounded_in_bytes_and_has_at_least_one_letter(face: Hub) -> None:
    """Large letters come one by one, none is left out."""
    await add(face, letter(1), letter(2))
    size = len(letter(1).body)

    async def page(limit: int) -> list[int]:
        async with transaction(face.pool) as connection:
            found = await mailbox.page(connection, INFIRMARY, max_bytes=limit)
        assert found.more is (len(found.letters) < 2)
        return [one.letter_id.int for one in found.letters]

    async with box(face) as client:
        await shows(client, [1, 2])
    assert await page(1) == [1]
    assert await page(2 * size - 1) == [1]
    assert await page(2 * size) == [1, 2]


WRONG = (
    ("limit=0", "parameter-invalid"),
    ("limit=101", "parameter-invalid"),
    ("limit=%D9%A1", "parameter-invalid"),
    ("limit=1&limit=2", "parameter-invalid"),
    ("after=x", "parameter-invalid"),
    ("after=OTk5OTk5OTk5OTk5OTk5OTk5OTkuMQ", "parameter-invalid"),
    ("unacknowledged=yes", "parameter-invalid"),
    ("response-to=a%20b", "parameter-invalid"),
    ("response-to=a&limit=1", "parameters-together"),
    ("patient=9990000018", "parameter-unknown"),
)


async def test_a_wrong_parameter_is_an_outcome_that_names_the_rule(face: Hub) -> None:
    """400 and an OperationOutcome that repeats nothing of what was sent."""
    for query, rule in WRONG:
        answer = await get(face, f"{MESSAGES}?{query}")
        assert answer.status_code == RULES[rule].status == 400, query
        (issue,) = answer.json()["issue"]
        assert issue["details"]["coding"][0]["code"] == rule, query
        assert "9990000018" not in answer.text


async def test_without_a_database_the_mailbox_says_so() -> None:
    """503 with Retry-After: nothing is lost, the reader comes again."""
    async with hub(settings(), connect=False) as face:
        answer = await get(face, MESSAGES)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_a_letter_is_written_once_and_waits_to_be_acknowledged(face: Hub) -> None:
    """The same letter again changes nothing; who has not acknowledged is known by case."""
    await add(face, letter(1, case_id=CASE, needs_acknowledgement=True), letter(2, case_id=CASE))
    await add(face, letter(1, case_id=CASE, body=b"{}"))
    async with transaction(face.pool) as connection:
        assert await mailbox.unacknowledged(connection, CASE) == [(INFIRMARY, "acknowledgement")]
        stored = await mailbox.get(connection, INFIRMARY, uuid.UUID(int=1))
        assert stored is not None
        assert stored.body == letter(1).body
        assert await mailbox.acknowledge(connection, INFIRMARY, uuid.UUID(int=1), AT)
        assert await mailbox.unacknowledged(connection, CASE) == []


async def test_old_letters_go_but_none_that_is_still_wanted(face: Hub) -> None:
    """Kept: what is young, what must be acknowledged and is not, and what is still to be pushed."""
    old = datetime.now(UTC) - timedelta(days=91)
    await add(
        face,
        letter(1, created_at=old),
        letter(2, created_at=old, needs_acknowledgement=True),
        letter(3, created_at=old, endpoint="somewhere"),
        letter(4, created_at=datetime.now(UTC)),
    )
    assert await mailbox.purge(face.pool, keep_days=90) == 1
    async with box(face) as client:
        await shows(client, [2, 3, 4])


async def test_the_command_lists_shows_and_acknowledges(face: Hub, tmp_path: Path) -> None:
    """`halyard messages`, with the organisation's token; an unknown letter is said so, exit 1."""
    await add(face, letter(1, message_id=MESSAGE))
    letter_id = str(uuid.UUID(int=1))

    async def messages(*arguments: str) -> Result:
        environment = {"HALYARD_TOKEN": TOKENS[INFIRMARY], "HALYARD_DATA_DIR": str(tmp_path)}
        command = ["messages", *arguments, "--url", face.url]
        return await asyncio.to_thread(CliRunner().invoke, app, command, env=environment)

    async with box(face) as client:
        await shows(client, [1])
    done = await messages("list", "--answers-to", MESSAGE, "--json")
    assert [one["letter_id"] for one in orjson.loads(done.output)["messages"]] == [letter_id]
    assert orjson.loads((await messages("show", letter_id)).output)["id"] == letter_id
    for _ in range(2):
        assert (await messages("acknowledge", letter_id)).output.endswith("acknowledged\n")
    assert "no messages" in (await messages("list", "--unacknowledged")).output
    assert letter_id in (await messages("list")).output
    refused = await messages("show", str(uuid.UUID(int=9)))
    assert isinstance(refused.exception, MailboxRefused)
    assert (await messages("show", "nonsense")).exit_code == Exit.USAGE


def test_a_cursor_is_what_it_was() -> None:
    """Opaque to clients, and the same place again."""
    for cursor in ((1, 1), (2**64 - 1, 2**63 - 1)):
        assert decode(encode(cursor)) == cursor
    assert decode(None) is None
