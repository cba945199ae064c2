"""`halyard policy` and `halyard register` on a database."""

from __future__ import annotations

import csv
import io
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from halyard.postgres import transaction
from policies.decision import decide
from policies.model import load_policies
from policies.record import entry
from policies.ruling import Disclosure, Flow
from stores import audit
from stores.sectors import Sector
from tests.integration.policies.conftest import KEYS, Desk
from tests.support.policies import ask, folder, package_files

NUMBER = "9990000018"


async def recorded(desk: Desk, *disclosures: Disclosure, days_ago: int = 0) -> None:
    """The package's policies were asked these, and the audit chain says so."""
    policies, at = load_policies(None), system_clock() - timedelta(days=days_ago)
    entries = [
        entry(
            decide(policies, replace(one, at=at)),
            one,
            entry_id=uuid.uuid4(),
            recorded_at=at,
            kind="disclosure",
            actor="process:matching",
            organisation="hub",
            person=KEYS.person(NUMBER),
            payload=b"body",
            keys=KEYS,
        )
        for one in disclosures
    ]
    async with transaction(desk.pool) as connection:
        await audit.append(connection, entries)


def without(path: Path, policy: str, field: str) -> str:
    """A folder of the package's policies, of which one no longer grants a field."""
    files = package_files()
    for one in files[policy]["recipients"]:
        one["fields"] = [name for name in one["fields"] if name != field]
    return str(folder(path, *files.values()))


ALERT = ask(Flow.ALERT, Sector.SOCIAL_CARE, recipient="E06000001")
REFUSED = ask(Flow.ALERT, Sector.EDUCATION, recipient="EE1234")


async def test_a_changed_policy_is_tried_on_what_was_disclosed_and_nothing_is_written(
    desk: Desk, tmp_path: Path
) -> None:
    """What would have differed, to whom and how often; every table is as it was."""
    await recorded(desk, ALERT, ALERT, REFUSED)
    before = desk.everything()
    new = without(tmp_path / "new", "alert", "visit.reason")
    told = await desk.of("policy", "diff", "--directory", new, code=1)
    assert (told["asked"], told["same"], told["not_replayed"]) == (3, 1, 0)
    (found,) = told["differences"]
    assert (found["flow"], found["recipient"], found["times"]) == ("alert", "E06000001", 2)
    assert (found["no_longer"], found["newly"]) == ("visit.reason", "")
    assert (found["was"], found["would_be"]) == ("permit (alert 1)", "permit (alert 1)")
    assert desk.everything() == before
    assert KEYS.person(NUMBER) not in str(told)


async def test_policies_that_say_the_same_differ_in_nothing(desk: Desk, tmp_path: Path) -> None:
    """Exit 0; what was disclosed before `--since` is not asked."""
    await recorded(desk, ALERT)
    await recorded(desk, ALERT, days_ago=40)
    same = str(folder(tmp_path / "same", *package_files().values()))
    assert (await desk.of("policy", "diff", "--directory", same))["asked"] == 1
    since = f"{system_clock() - timedelta(days=50):%Y-%m-%d}"
    told = await desk.of("policy", "diff", "--directory", same, "--since", since)
    assert (told["asked"], told["same"], told["differences"]) == (2, 2, [])


async def test_every_flow_that_can_be_recorded_replays(desk: Desk, tmp_path: Path) -> None:
    """Of each flow and sector, permitted, denied and held ones: the same policies say the same."""
    asked = [
        ask(flow, sector, restricted=restricted)
        for flow in Flow
        for sector in Sector
        for restricted in (False, True)
    ]
    plain = [
        replace(one, fields=frozenset(f for f in one.fields if not f.startswith("unlisted.")))
        for one in asked
    ]
    await recorded(desk, *plain)
    same = str(folder(tmp_path / "same", *package_files().values()))
    told = await desk.of("policy", "diff", "--directory", same)
    assert (told["same"], told["not_replayed"]) == (len(plain), 0)


async def test_the_register_of_flows_says_who_is_told_what_and_how_often(desk: Desk) -> None:
    """A row for each recipient of each policy, with the counts of the audit chain."""
    await recorded(desk, ALERT, ALERT, REFUSED)
    entries = (await desk.of("register", "flows"))["entries"]
    found = next(one for one in entries if one["reference"] == "alert 1")
    assert found["organisation"] == "every organisation of social-care"
    assert (found["permitted"], found["denied"]) == (2, 0)
    assert found["legal_basis"] == "Children Act 2004, s11; Children Act 1989, s47"
    assert (found["opt_outs_honoured"], found["commercial"]) == ("No", "N")
    assert "person.nhs_number" in found["fields"]
    for one in entries:
        if "education" in one["organisation"] or "police" in one["organisation"]:
            assert "nhs_number" not in one["fields"]


@pytest.mark.parametrize("what", ["flows", "releases"])
async def test_a_register_is_a_page_a_table_and_json(desk: Desk, what: str) -> None:
    """Markdown, HTML and CSV, printed or written to a file; the same entries in each."""
    amount = len((await desk.of("register", what))["entries"])
    text = await desk.run("register", what, "--format", "csv")
    assert len(list(csv.DictReader(io.StringIO(text)))) == amount
    page = await desk.run("register", what, "--format", "html")
    assert page.startswith("<!doctype html>")
    assert page.count("<tr>") == amount + 1
    out = desk.home / "register.md"
    assert f"{amount} entries" in await desk.run("register", what, "--out", str(out))
    assert out.read_text().count("\n## ") == amount


async def test_a_policy_is_tried_on_a_body_of_ones_own(desk: Desk) -> None:
    """From a file or standard input: what a school would see of it, what not, and why."""
    body = orjson.dumps(
        {
            "alert_id": "a",
            "person": {"nhs_number": NUMBER},
            "visit": {"state": "arrived", "reason": "Injury"},
        }
    )
    path = desk.home / "event.json"
    path.write_bytes(body)
    asked = ("policy", "test", "share", "--recipient", "EE1234", "--event")
    told = await desk.of(*asked, str(path))
    assert told["sector"] == "education"
    assert (told["decision"], told["policy"], told["version"]) == ("permit", "share", 1)
    assert told["seen"] == {
        "alert_id": "a",
        "person": {"nhs_number": None},
        "visit": {"state": "arrived", "reason": None},
    }
    assert told["withheld"] == {
        "person.nhs_number": "an NHS number never leaves health and social care",
        "visit.reason": "the policy does not grant it",
    }
    said = await desk.run(*asked, "-", text=body)
    assert "decision: permit" in said
    assert NUMBER not in said
    assert "Injury" not in said
    assert await desk.query("select * from audit_entries") == []


@pytest.mark.parametrize("flow", [one.value for one in Flow])
async def test_there_is_a_sample_for_each_flow(desk: Desk, flow: str) -> None:
    """Without a body of one's own; to an organisation that nobody knows everything is denied, or
    has no number in it."""
    arguments = ("policy", "test", flow, "--recipient", "X9999", "--sector", "other")
    open_to_all = flow in ("case-event", "report-request", "worklist")
    told = await desk.of(*arguments, code=0 if open_to_all else 1)
    assert NUMBER not in str(told)


async def test_what_a_person_decides_is_shown_with_its_reason(desk: Desk) -> None:
    """A share with the police is REVIEW; `--released` shows what would leave then."""
    asked = ("policy", "test", "share", "--recipient", "P0001", "--sector", "police")
    told = await desk.of(*asked, code=1)
    assert (told["decision"], told["rule"], told["seen"]) == ("review", "police-or-court", None)
    assert told["reason"] == "A person weighs what police and courts are told"
    told = await desk.of(*asked, "--released")
    assert (told["decision"], told["rule"]) == ("permit", "released")


def _version(one: dict[str, Any]) -> int:
    return int(one["version"])


async def test_policies_are_listed_and_shown(desk: Desk, tmp_path: Path) -> None:
    """With flows that none covers, and those that end soon."""
    told = await desk.of("policy", "list")
    assert told["uncovered"] == []
    newest = {one["policy"]: one["state"] for one in sorted(told["policies"], key=_version)}
    assert set(newest.values()) == {"in force"}
    files = package_files()
    day = system_clock().date()
    files["alert"]["end"] = day + timedelta(days=30)
    files["match"]["end"] = day - timedelta(days=1)
    new = str(folder(tmp_path / "new", *files.values()))
    told = await desk.of("policy", "list", "--directory", new)
    states = {one["policy"]: one["state"] for one in told["policies"]}
    assert (states["alert"], states["match"]) == ("ends soon", "ended")
    assert told["uncovered"] == ["match", "receipt"]
    shown: Any = await desk.of("policy", "show", "alert")
    assert shown["legal_basis"][0]["statute"] == "Children Act 2004"
    await desk.run("policy", "show", "none", code=2)


async def test_a_folder_with_a_wrong_policy_stops_the_command(desk: Desk, tmp_path: Path) -> None:
    """With file, place and rule."""
    files = package_files()
    files["share"]["recipients"][0]["fields"].append("person.nhs_number")
    new = str(folder(tmp_path / "new", *files.values()))
    with pytest.raises(ConfigurationError, match=r"policy\.number-outside"):
        await desk.run("policy", "diff", "--directory", new)
