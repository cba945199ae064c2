"""A research extract: asked for, decided by a guardian, recorded, then handed over."""

from __future__ import annotations

import csv
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from halyard.clock import system_clock
from halyard.errors import PermanentError
from halyard.postgres import transaction
from schemas.deaths import CaseFact, Eligibility, Fact
from stores import opt_outs
from tests.integration.policies.conftest import KEYS, Desk
from tests.support.ncmd_cases import START, case_id, changed
from tests.support.policies import folder, package_files

CHILD, OTHER, THIRD = "9990000018", "9990000026", "9990000034"
ASKED = (
    *("extract", "cases", "--policy", "example-research", "--organisation", "X0001"),
    *("--title", "A study of ages", "--user", "A Researcher, statistician"),
    *("--trained", "2026-01-10", "--project", "Ages at death, approval 26/CAG/0001"),
    *("--approver", "The data access group", "--setting", "The university's safe haven"),
    *("--outputs", "The disclosure officer checks each table", "--by", "analyst"),
)


def child(number: int, **changes: Any) -> Any:
    """A case in scope, of a girl who died at six."""
    said = tuple(
        CaseFact(Fact(name, value=value), "RXX01", case_id(number), START)
        for name, value in {
            "child.family": f"Example{number}",
            "child.postcode": "ZZ1 1ZZ",
            "child.birth-date": "2019-05-04",
            "death.date": "2026-03-01",
            "child.sex": "female",
        }.items()
    )
    return changed(number, **{"facts": said, **changes})


async def imported(desk: Desk, *numbers: str, more: tuple[str, ...] = ()) -> None:
    """Opt-outs are known: these."""
    path = desk.home / "opted-out.txt"
    path.write_text("".join(f"{number},\n" for number in numbers))
    await desk.run("extract", "opt-outs", "import", str(path), "--by", "operator", *more)


async def held(desk: Desk) -> str:
    """A release that waits for a guardian."""
    told = await desk.of(*ASKED, "--out", str(desk.home / "early.csv"), code=1)
    assert (told["state"], told["rule"]) == ("held", "caldicott-guardian")
    assert not (desk.home / "early.csv").exists()
    return str(told["release_id"])


async def released(desk: Desk) -> str:
    """A release that a guardian has released."""
    release = await held(desk)
    reason = ("--reason", "Approved by the group")
    await desk.run("extract", "decide", release, "--release", "--by", "guardian", *reason)
    return release


async def collected(desk: Desk, release: str, name: str = "out.csv") -> tuple[Any, list[list[str]]]:
    """What is printed, and the rows of the file."""
    out = desk.home / name
    told = await desk.of("extract", "collect", release, "--out", str(out), "--by", "analyst")
    return told, list(csv.reader(out.read_text().splitlines()))


async def audit(desk: Desk) -> list[dict[str, Any]]:
    """The bodies of the audit entries of the extract, in order."""
    rows = await desk.query("select body, person from audit_entries order by recorded_at, xid")
    return [{**one["body"], "person_column": one["person"]} for one in rows]


async def test_an_extract_is_held_released_recorded_and_handed_over(desk: Desk) -> None:
    """From the question to the file: rows under pseudonyms with the policy's fields alone; release,
    files and an audit entry for every case stand in the database."""
    await desk.add(child(1), person=KEYS.person(CHILD))
    await imported(desk, THIRD)
    release = await released(desk)
    told, rows = await collected(desk, release)
    assert (told["state"], told["rows"], told["left_out"]) == ("handed", 1, {})
    row = dict(zip(rows[0], rows[1], strict=True))
    assert row["age_band"] == "5-9 years"
    assert row["child.sex"] == "female"
    text = (desk.home / "out.csv").read_bytes() + (desk.home / "out.csv.summary.csv").read_bytes()
    for secret in ("Example", "ZZ1", CHILD, str(case_id(1)), case_id(1).hex, KEYS.person(CHILD)):
        assert secret.encode() not in text
    assert (desk.home / "out.csv").stat().st_mode & 0o077 == 0
    entries = await audit(desk)
    assert [(one["decision"], one["rule"]) for one in entries[:2]] == [
        ("review", "caldicott-guardian"),
        ("permit", "released"),
    ]
    (one,) = [entry for entry in entries if entry["person_column"]]
    assert one["person"] == KEYS.person(CHILD)
    assert (one["chain"], one["decision"], one["subject"]) == (
        "X0001",
        "permit",
        f"release:{release}",
    )
    (file, summary) = await desk.query("select * from release_files order by name")
    assert (file["name"], file["rows"]) == ("out.csv", 1)
    assert file["sha256"] == hashlib.sha256((desk.home / "out.csv").read_bytes()).hexdigest()
    assert summary["name"] == "out.csv.summary.csv"


async def test_who_has_opted_out_is_left_out_and_that_is_recorded(desk: Desk) -> None:
    """By the policy's legal basis: left out are who opted out, of whom that cannot be known, and
    restricted children; each with an entry that says why."""
    await desk.add(child(1), person=KEYS.person(CHILD))
    await desk.add(child(2), person=KEYS.person(OTHER))
    await desk.add(child(3))
    await desk.add(child(4, restricted=True), person=KEYS.person(THIRD))
    await desk.add(child(5, eligibility=Eligibility.OUT_OF_SCOPE))
    await imported(desk, OTHER)
    told, rows = await collected(desk, await released(desk))
    assert told["left_out"] == {
        "opted-out": 1,
        "no-verified-number": 1,
        "restricted-not-covered": 1,
    }
    assert len(rows) == 2
    denied = {one["rule"]: one for one in await audit(desk) if one["decision"] == "deny"}
    assert denied.keys() == told["left_out"].keys()
    assert denied["opted-out"]["person"] == KEYS.person(OTHER)
    listed = (await desk.of("register", "releases"))["entries"][0]
    assert listed["opt_outs_honoured"] == "Yes"
    assert listed["opt_outs_as_at"]


async def test_an_opt_out_that_is_taken_back_is_honoured_too(desk: Desk) -> None:
    """An import replaces the list: nobody stays on it by accident; only pseudonyms are kept."""
    await imported(desk, CHILD, OTHER)
    await imported(desk, OTHER, more=("--amount", "1"))
    rows = await desk.query("select person from opt_outs")
    assert [one["person"] for one in rows] == [KEYS.person(OTHER)]
    assert (await desk.of("extract", "opt-outs", "status"))["opt_outs"] == 1


async def test_a_list_with_a_line_that_is_no_number_is_not_imported(desk: Desk) -> None:
    """Half a list would let somebody through; the answer names the line, not what stands there."""
    await imported(desk, CHILD)
    path = desk.home / "bad.txt"
    path.write_text(f"{OTHER}\nnonsense\n")
    said = await desk.run("extract", "opt-outs", "import", str(path), "--by", "op", code=2)
    assert "line 2" in said
    assert "nonsense" not in said
    assert len(await desk.query("select person from opt_outs")) == 1


async def test_without_opt_outs_of_late_nothing_is_extracted(desk: Desk) -> None:
    """Where they apply they must be known, and not be old; nothing is written or recorded."""
    await desk.add(child(1), person=KEYS.person(CHILD))
    release = await released(desk)
    with pytest.raises(PermanentError, match="no opt-outs are known"):
        await collected(desk, release)
    async with transaction(desk.pool) as connection:
        late = system_clock() - timedelta(days=8)
        await opt_outs.replace(connection, [], at=late, by="operator", stated=0)
    with pytest.raises(PermanentError, match="too old"):
        await collected(desk, release)
    assert sorted(one.name for one in desk.home.glob("*.csv*")) == []
    assert len(await desk.query("select * from releases where state = 'released'")) == 1


async def test_who_asked_does_not_decide(desk: Desk) -> None:
    """A second person releases; a refused release is never collected."""
    release = await held(desk)
    decided = ("extract", "decide", release, "--reason", "x")
    with pytest.raises(PermanentError, match="Somebody else"):
        await desk.run(*decided, "--release", "--by", "Analyst")
    with pytest.raises(PermanentError, match="only a released one"):
        await collected(desk, release)
    await desk.run(*decided, "--refuse", "--by", "guardian")
    with pytest.raises(PermanentError, match="not held"):
        await desk.run(*decided, "--release", "--by", "guardian")
    with pytest.raises(PermanentError, match="refused"):
        await collected(desk, release)
    last = (await audit(desk))[-1]
    assert (last["kind"], last["decision"], last["reason"]) == ("review", "deny", "x")


async def test_a_release_is_collected_once_and_overwrites_nothing(desk: Desk) -> None:
    """A second copy is a second release; a file that is there stays as it is."""
    await imported(desk, THIRD)
    release = await released(desk)
    there = desk.home / "there.csv"
    there.write_text("precious")
    arguments = ("extract", "collect", release, "--out", str(there), "--by", "analyst")
    await desk.run(*arguments, code=2)
    assert there.read_text() == "precious"
    await collected(desk, release)
    with pytest.raises(PermanentError, match="handed"):
        await collected(desk, release, "again.csv")


async def test_a_denied_extract_is_recorded_and_writes_nothing(desk: Desk) -> None:
    """To whom no policy covers: exit 1, an entry, no release."""
    arguments = list(ASKED)
    arguments[arguments.index("X0001")] = "EE1234"  # a school
    told = await desk.of(*arguments, "--out", str(desk.home / "no.csv"), code=1)
    assert (told["state"], told["rule"]) == ("denied", "no-policy")
    (one,) = await audit(desk)
    assert (one["chain"], one["decision"], one["flow"]) == ("EE1234", "deny", "extract")
    assert await desk.query("select * from releases") == []
    assert list(desk.home.glob("*.csv")) == []


async def test_a_policy_that_has_changed_since_is_asked_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was released under a policy that now denies is refused, and the refusal is recorded."""
    await imported(desk, THIRD)
    release = await released(desk)
    files = package_files()
    files["example-research"]["deny"] = [{"code": "stopped", "reason": "x", "always": True}]
    monkeypatch.setenv(
        "HALYARD_POLICIES__DIRECTORY", str(folder(tmp_path / "new", *files.values()))
    )
    out = desk.home / "no.csv"
    collect = ("extract", "collect", release, "--out", str(out), "--by", "analyst")
    told = await desk.of(*collect, code=1)
    assert (told["state"], told["rule"]) == ("denied", "stopped")
    assert (await audit(desk))[-1]["rule"] == "stopped"
    assert not out.exists()


async def test_a_policy_without_review_hands_over_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One command, where the owner of the policy has said so; another policy's name is refused."""
    await desk.add(child(1), person=KEYS.person(CHILD))
    files = package_files()
    files["example-research"].update(review=[], opt_out={"applies": False, "reason": "consent"})
    monkeypatch.setenv(
        "HALYARD_POLICIES__DIRECTORY", str(folder(tmp_path / "new", *files.values()))
    )
    out = desk.home / "out.csv"
    told = await desk.of(*ASKED, "--out", str(out))
    assert (told["state"], told["rows"]) == ("handed", 1)
    assert out.exists()
    arguments = list(ASKED)
    arguments[arguments.index("example-research")] = "alert"
    with pytest.raises(PermanentError, match="example-research"):
        await desk.run(*arguments)


async def test_what_an_extract_left_in_the_chain_replays(desk: Desk, tmp_path: Path) -> None:
    """Held, released, handed over, left out by opt-out: the same policies would have said the
    same."""
    await desk.add(child(1), person=KEYS.person(CHILD))
    await desk.add(child(2), person=KEYS.person(OTHER))
    await desk.add(child(4, restricted=True), person=KEYS.person(THIRD))
    await imported(desk, OTHER)
    await collected(desk, await released(desk))
    release = await held(desk)
    reason = ("--reason", "No")
    await desk.run("extract", "decide", release, "--refuse", "--by", "guardian", *reason)
    same = str(folder(tmp_path / "same", *package_files().values()))
    told = await desk.of("policy", "diff", "--directory", same)
    assert (told["differences"], told["not_replayed"]) == ([], 0)
    assert told["same"] == told["asked"] == 8
