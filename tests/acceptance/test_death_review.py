"""A review walked from the first notification to the store, with the real processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from connectors.fhir.mailbox_client import MailboxClient, ReceivedLetter
from connectors.fhir.view import obj, objs, text
from halyard.cli.main import app
from sandbox.deaths import bundles
from sandbox.deaths.bundles import Answer, Child, Json
from sandbox.pds.people import Person
from tests.support.deaths_system import (
    PANEL,
    REVIEW,
    SECOND_HOSPITAL,
    SECRETARIAT,
    SURGERY,
    DeathsHub,
    MakeDeathsHub,
)
from tests.support.hub_files import HOSPITAL, NORTH, SOUTH
from tests.support.load import Plan, flag_line, upload_flags
from tests.support.ncmd_canonical import canonical
from tests.support.processes import run_halyard
from tests.support.waiting import aeventually, eventually

ROBIN = Person("9991230017", "Testwick", ("Robin",), "2019-06-02", "female", "ZZ1 1AA")
WREN = Person("9991230025", "Testwick", ("Wren",), "2019-06-02", "female", "ZZ1 1AA")  # her twin
AT_HOME: Mapping[str, Answer] = {
    "child.residence-authority": NORTH,
    "death.place": "home",
    "death.expected": False,
}
IN_HOSPITAL: Mapping[str, Answer] = {
    **AT_HOME,
    "death.place": "acute-hospital.emergency-department",
}
ROWS = {
    "professional": [
        {"role": "general-practitioner", "organisation-code": SURGERY},
        {"role": "childrens-social-care", "organisation-code": SOUTH},
    ]
}
FIRST, SECOND, TWIN = "rz9-fhir/N-1", "rz8-fhir/C-7", "rz9-fhir/N-2"


def child(person: Person, *, number: bool = True) -> Child:
    """As a hospital knows the child."""
    return Child(
        family=person.family,
        given=person.given,
        birth_date=person.birth_date,
        sex=person.gender,
        nhs_number=person.nhs_number if number else None,
        postcode=person.postcode,
        died="2026-11-02",
    )


class Review:
    """The hub, as the organisations of the review use it."""

    def __init__(self, hub: DeathsHub) -> None:
        self.hub = hub

    async def say(self, organisation: str, message: Json) -> None:
        """Send a message; it is acknowledged, and everything that comes of it is in the store."""
        answer = await self.hub.say(organisation, message)
        assert answer.status_code == 202, answer.text
        async with self._mailbox(organisation) as box:
            (told,) = await aeventually(lambda: box.answers(message["id"]), 30)
        self.hub.settle_deaths()
        assert told.kind == "acknowledgement"

    async def notify(
        self, organisation: str, reference: str, person: Person, *, number: bool = True
    ) -> None:
        """The death of a child, at home."""
        message = bundles.notification(
            reference=reference, child=child(person, number=number), answers=AT_HOME, rows=ROWS
        )
        await self.say(organisation, message)

    async def letters(self, organisation: str, kind: str) -> list[ReceivedLetter]:
        """What the organisation was sent of this kind, oldest first; at least one. A list shows no
        letter while an older transaction of the cluster, anybody's, still runs.
        """

        async def listed() -> list[ReceivedLetter]:
            async with self._mailbox(organisation) as box:
                return [one async for one in box.letters() if one.kind == kind]

        return await aeventually(listed, 30, why=f"{organisation} has a {kind}")

    async def request(self, organisation: str, case_id: str) -> str:
        """Id of the report request that the organisation got about a case, from its letter."""
        asked = await aeventually(lambda: self._request(organisation, case_id), 30)
        assert asked, f"{organisation} was not asked"
        return asked

    async def _request(self, organisation: str, case_id: str) -> str:
        for letter in await self.letters(organisation, "report-request"):
            for entry in objs(letter.bundle, "entry"):
                task = obj(entry, "resource")
                if text(task, "groupIdentifier", "value") == case_id:
                    return text(objs(task, "identifier")[0], "value")
        return ""

    async def acknowledge(self, organisation: str, letter: ReceivedLetter) -> None:
        """Tell the hub that the letter is there."""
        async with self._mailbox(organisation) as box:
            await box.acknowledge(letter.letter_id)

    def command(self, *arguments: str) -> Any:
        """A person's command, as a process of its own; its JSON document."""
        done = run_halyard(
            *arguments, "--json", directory=self.hub.directory, env=self.hub.environment
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    async def look(self, *arguments: str) -> Any:
        """The same within this process: it starts at once."""
        invoke = partial(CliRunner().invoke, app, [*arguments, "--json"], env=self.hub.environment)
        done = await asyncio.to_thread(invoke)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def cases(self) -> dict[str, str]:
        """Case ids by source and reference of the notification that opened each; before a merge."""
        rows = self.hub.store("select source, key, case_id from links where kind = 'notification'")
        return {f"{row['source']}/{row['key']}": str(row["case_id"]) for row in rows}

    def store(self) -> dict[str, Any]:
        """The NCMD store by source and reference."""
        with psycopg.connect(self.hub.database.ncmd_url) as connection:
            return canonical(connection)

    def _mailbox(self, organisation: str) -> MailboxClient:
        return MailboxClient(self.hub.url("serve"), self.hub.token(organisation))


@pytest.mark.timeout(240)
async def test_a_review_from_two_notifications_to_the_store(
    make_deaths_hub: MakeDeathsHub,
) -> None:
    """Two hospitals notify one death, and one of them a twin's by mistake; a person merges the
    two; one agency reports, one knows nothing; a correction, a void; the store says all of it.
    """
    with make_deaths_hub((ROBIN, WREN)) as hub:
        hub.start(REVIEW)
        review = Review(hub)
        await upload_flags(hub, NORTH, flag_line(ROBIN, Plan(NORTH, "CPP")))
        eventually(lambda: hub.count("select count(*) from flags") == 1, 30)

        await review.notify(HOSPITAL, "N-1", ROBIN)
        await review.notify(SECOND_HOSPITAL, "C-7", ROBIN, number=False)
        await review.notify(HOSPITAL, "N-2", WREN)
        cases = review.cases()
        await _is_proposed(review, cases)
        await _agencies_are_asked(review, cases)

        review.command(
            *("cases", "merge", cases[SECOND], cases[FIRST]),
            *("--by", "secretariat", "--reason", "one child, told twice"),
        )
        hub.settle_deaths()
        await _reports_come(review, cases)
        correction = bundles.update(
            reference="N-1", version=2, child=child(ROBIN), answers=IN_HOSPITAL, rows=ROWS
        )
        await review.say(HOSPITAL, correction)
        await review.say(HOSPITAL, bundles.void(reference="N-2", version=2, reason="not-a-death"))
        await _those_who_were_told_hear_of_the_void(review, cases)

        store = review.store()
        assert set(store) == {FIRST, SECOND, TWIN}
        _holds_the_case(store[FIRST])
        _holds_what_was_merged(store[SECOND])
        _holds_the_tombstone(store[TWIN])
        await _knows_the_past(review, cases)


async def _is_proposed(review: Review, cases: Mapping[str, str]) -> None:
    """The two notifications of one child are a pair for a person; her twin is in no pair."""
    (pair,) = (await review.look("cases", "duplicates"))["duplicates"]
    assert {pair["one"], pair["other"]} == {cases[FIRST], cases[SECOND]}
    assert not pair["differences"]
    assert {case["case"]["state"] for case in review.store().values()} == {"OPEN"}


async def _agencies_are_asked(review: Review, cases: Mapping[str, str]) -> None:
    """Those that the notification names, and the authority that has a plan of the child: it is
    asked about the other children of the household, too.
    """
    for organisation in (SURGERY, SOUTH, NORTH):
        assert await review.request(organisation, cases[FIRST])
    assert await review.letters(NORTH, "household-check")


async def _reports_come(review: Review, cases: Mapping[str, str]) -> None:
    surgery = await review.request(SURGERY, cases[FIRST])
    answers = {"report.summary": "Seen twice in the last year, for minor illness."}
    report = bundles.report(reference="R-1", request=surgery, child=child(ROBIN), answers=answers)
    await review.say(SURGERY, report)
    south = await review.request(SOUTH, cases[FIRST])
    await review.say(SOUTH, bundles.nothing_known(reference="R-9", request=south))


async def _those_who_were_told_hear_of_the_void(review: Review, cases: Mapping[str, str]) -> None:
    """Each must acknowledge; who has not is listed at the case."""
    for organisation in (SURGERY, SOUTH, SECRETARIAT):
        (letter,) = await review.letters(organisation, "case-voided")
        assert letter.needs_acknowledgement
    await review.acknowledge(SECRETARIAT, letter)
    shown = await review.look("cases", "show", cases[TWIN])
    waiting = {one["organisation"] for one in shown["not_acknowledged"]}
    assert waiting == {SURGERY, SOUTH}


def _holds_the_case(case: Mapping[str, Any]) -> None:
    now = case["case"]
    assert (now["state"], now["eligibility"], now["panel"]) == ("OPEN", "IN_SCOPE", PANEL)
    assert (now["nhs_number"], now["flag_history"]) == (ROBIN.nhs_number, "CURRENT")
    places = {fact[2]: fact[3] for fact in case["facts"] if fact[0] == "death.place"}
    assert places == {HOSPITAL: IN_HOSPITAL["death.place"], SECOND_HOSPITAL: "home"}
    assert (now["conflicts"], now["needs"]) == (["death.place"], ["conflict"])
    assert ("report.summary", SURGERY) in {(fact[0], fact[2]) for fact in case["facts"]}
    links = {(link[0], link[1], link[4]) for link in case["links"]}
    assert links >= {
        ("report", SURGERY, "REPORT"),
        ("report", SOUTH, "NOTHING_KNOWN"),
        ("request", SURGERY, "SUBMITTED"),
        ("request", SOUTH, "NOTHING_KNOWN"),
        ("request", NORTH, "REQUESTED"),
        ("flag", NORTH, "CURRENT"),
    }
    assert {link[2] for link in case["links"] if link[0] == "notification"} == {"N-1", "C-7"}
    assert not case["tombstones"]
    assert _changes(case) == [
        ("OPENED", "submitted", None),
        ("UPDATED", "duplicates", None),
        ("MERGED", "person", "secretariat"),
        ("REPORTED", "report", None),
        ("REPORTED", "nothing_known", None),
        ("UPDATED", "version", None),
    ]


def _holds_what_was_merged(case: Mapping[str, Any]) -> None:
    assert (case["case"]["state"], case["case"]["merged_into"]) == ("MERGED", FIRST)
    assert not case["facts"]
    assert {link[0] for link in case["links"]} == {"notification", "merged"}
    assert [change for change, _, _ in _changes(case)] == ["OPENED", "UPDATED", "MERGED"]


def _holds_the_tombstone(case: Mapping[str, Any]) -> None:
    """The twin lives: no number, no fact, and the reason."""
    assert (case["case"]["state"], case["case"]["nhs_number"]) == ("VOIDED", None)
    assert not case["facts"]
    assert case["tombstones"] == [("not-a-death", False)]
    assert [(link[0], link[4]) for link in case["links"]] == [("notification", "voided")]
    assert [change for change, _, _ in _changes(case)] == ["OPENED", "UPDATED", "VOIDED"]


async def _knows_the_past(review: Review, cases: Mapping[str, str]) -> None:
    """Before the void the twin's case was open, and the store still knows it so."""
    status = await review.look("ncmd", "status")
    assert status["behind"] == 0
    versions = (await review.look("ncmd", "as-of", cases[TWIN]))["versions"]
    before = await review.look("ncmd", "as-of", cases[TWIN], "--at", versions[-2]["changed_at"])
    assert before["case"]["content"]["state"] == "OPEN"


def _changes(case: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(said["change"], said["rule"], said["by"]) for said in case["history"]]
