"""The two ways in: `halyard demo`, and `halyard up` with the commands a person would use.

One system serves the tests that take `running`, in any order: each has children of its own, and
leaves every stage running and reading.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from halyard.embedded.process import process_runs
from sandbox.samples.render import FLAGS, MORNING
from tests.support.processes import COMMAND, Process
from tests.support.waiting import eventually

READY = "Running until Ctrl-C"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Path]]:
    """`halyard up` with everything embedded, and its data directory."""
    place = tmp_path_factory.mktemp("up")
    data = place / "data"
    with Process([COMMAND, "up", "--data-dir", str(data)], directory=place, grace=60) as process:
        process.wait_for(READY, timeout=120)
        yield process, data


def command(data: Path, *arguments: str, expect: int = 0) -> Any:
    """A command against the running system; its JSON document."""
    return json.loads(printed(data, *arguments, expect=expect))


def printed(data: Path, *arguments: str, expect: int = 0) -> str:
    """What a command prints with ``--json``."""
    done = subprocess.run(
        [COMMAND, *arguments, "--json"],
        env={**os.environ, "HALYARD_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(240)
def test_demo_runs_the_main_job_in_view(tmp_path: Path) -> None:
    """Flags in, a morning of messages in, three alerts out, one accepted, one timeline; then a
    death and a report in, and the case in the store; exit 0.
    """
    with Process([COMMAND, "demo", "--data-dir", str(tmp_path / "d")], directory=tmp_path) as demo:
        assert demo.wait(timeout=180) == 0, demo.output() + demo.log_text()
        shown = demo.output()
    codes = re.findall(r"PB-\d+: (CPR\d\d)", shown)
    assert sorted(codes) == sorted([*["CPR06"] * 4, "CPR02", "CPR05", "CPR01", "CPR07"])
    acks = re.findall(r"A0[14] \S+ (AA|AE|AR|none) +[\d.]+ ms", shown)
    assert acks == ["AA"] * 23
    alerts = re.findall(
        r"ALERT (\w+): .*?, (.*?), arrived (\S+), reason: (.*?); ring (.*?) \(", shown
    )
    assert sorted((plan, department, reason) for plan, department, _, reason, _ in alerts) == [
        ("CPP", "Emergency department", "Cut hand"),
        ("CPP", "Emergency department", "Fall at home"),
        ("UCPP", "Maternity unit", "Contractions"),
    ]
    assert all("01632 960 101" in callback for *_, callback in alerts)
    assert "told of 3 matches" in shown
    assert "receipt at the hospital: accepted by Duty social worker" in shown
    assert "answer: Known to us" in shown
    hops, _, deaths = shown.partition("through every hop")[2].partition("a child's death")
    for hop in (
        "AttendanceReported",
        "AttendanceVerified",
        "AlertChanged",
        "AlertReceipt",
        "webhook",
    ):
        assert hop in hops
    assert "answer to fetch: acknowledgement, accepted" in deaths
    assert "Practice Borough Council: report-request" in deaths
    assert "IN_SCOPE (under-18), panel practice" in deaths
    assert "plan at death: LAC current" in deaths
    assert "reports: E06000999 REPORT" in deaths
    assert "submitted over HTTP to the practice receiver: version" in deaths
    assert "Harbourne" not in deaths
    # a progress line for each part, on a loopback port of its own
    for part in ("Kafka", "PostgreSQL", "sandbox-pds", "sandbox-authority", "sandbox-contact"):
        assert part in shown
    for part in ("identity", "matching", "cases", "tracer", "dispatcher", "journal", "serve"):
        assert f"{part} is ready" in shown


@pytest.mark.timeout(120)
def test_demo_that_cannot_start_says_why_and_fails(tmp_path: Path) -> None:
    """A part that is given and does not answer: a sentence with advice, and a non-zero exit."""
    with Process(
        [COMMAND, "demo", "--data-dir", str(tmp_path / "d")],
        directory=tmp_path,
        env={
            "HALYARD_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
            "HALYARD_DATABASE__URL": "postgresql://halyard_app@127.0.0.1:9/halyard",
            "HALYARD_DATABASE__OWNER_URL": "postgresql://halyard_owner@127.0.0.1:9/halyard",
        },
    ) as demo:
        assert demo.wait(timeout=90) != 0
        assert "HALYARD_DATABASE__OWNER_URL" in demo.log_text()


@pytest.mark.timeout(240)
def test_a_person_does_the_main_job_with_commands(running: tuple[Process, Path]) -> None:
    """Against `halyard up`: upload, send, follow, accept, trace and doctor work as documented."""
    _, data = running
    upload = command(data, "flags", "upload", str(FLAGS), expect=1)  # three records are not held
    assert upload["accepted"] == 8
    assert sorted(answer["code"] for answer in upload["answers"]) == sorted(
        [*["CPR06"] * 4, "CPR02", "CPR05", "CPR01", "CPR07"]
    )
    sent = command(data, "send", str(MORNING))
    assert {answer["code"] for answer in sent["answers"]} == {"AA"}

    def alerts() -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in printed(data, "alerts", "follow", "--once").splitlines()
        ]

    eventually(lambda: len(alerts()) == 3, timeout=60, interval=1.0)
    found = alerts()
    accepted = command(
        data, "alerts", "accept", found[0]["alert_id"], "--answer", "We ring the ward now."
    )
    assert accepted["state"] == "accepted"
    again = command(
        data, "alerts", "accept", found[0]["alert_id"], "--answer", "Something else.", expect=1
    )
    assert again["answer"] == "We ring the ward now."

    def hops() -> Any:
        found_hops = command(data, "trace", found[0]["alert_id"])["hops"]
        return {"AttendanceReported", "AlertReceipt"} <= {hop["event"] for hop in found_hops}

    eventually(hops, timeout=60, interval=1.0)
    findings = {one["check"]: one["result"] for one in command(data, "doctor")["findings"]}
    assert findings["database"] == findings["topics"] == findings["secrets"] == "ok"
    assert findings["messages"] == findings["ncmd"] == "ok"
    assert findings["kafka"] == "warning"  # one broker does not survive its disk


@pytest.mark.timeout(240)
def test_a_stage_is_paused_with_a_reason_and_resumed(running: tuple[Process, Path]) -> None:
    """The reason and the name are shown; pausing twice changes nothing; resuming clears it."""
    _, data = running
    paused = command(data, "pause", "matching", "--reason", "drill", "--by", "operator")
    try:
        assert [(one["stage"], one["reason"], one["by"]) for one in paused["paused"]] == [
            ("matching", "drill", "operator")
        ]
        again = command(data, "pause", "matching", "--reason", "other", "--by", "me", expect=1)
        assert again["paused"][0]["reason"] == "drill"
        findings = {one["check"]: one["result"] for one in command(data, "doctor")["findings"]}
        assert findings["stages"] == "warning"
    finally:
        resumed = command(data, "resume", "matching")  # whatever held: the others need it
    assert resumed["paused"] == []


@pytest.mark.timeout(240)
def test_a_number_that_pds_supersedes_is_followed(running: tuple[Process, Path]) -> None:
    """The walk of receive-pds-changes.md: PDS merges two records, the relay hands in its word, and
    the authority is told by letter of its own record.
    """
    _, data = running
    addresses = dict(
        one.split("=", 1) for one in (data / "addresses.env").read_text().splitlines() if one
    )
    sandbox = addresses["HALYARD_PDS__BASE_URL"].partition("/personal-demographics")[0]
    child = {"family": "Laterchild", "given": ["Sky"], "birth_date": "2013-03-31"}
    old, new = "9990001537", "9990001545"
    with httpx.Client(base_url=sandbox, trust_env=False) as http:
        for number in (old, new):
            person = {**child, "nhs_number": number, "gender": "male", "postcode": "ZZ8 1AB"}
            assert http.post("/sandbox/people", json=person).status_code == 200
    plan = data / "plan.csv"
    plan.write_text(
        "NHS Number,Surname,Forenames,DOB,Plan type,Start date,Local ID,Office hours tel number,"
        f"Emergency duty tel number\n{old},Laterchild,Sky,2013-03-31,CPP,2026-01-01,PB-2002,"
        "01632 960 201,01632 960 202\n"
    )
    assert command(data, "flags", "upload", str(plan))["answers"][0]["code"] == "CPR06"
    change = {"change": "supersede", "nhs_number": old, "by": new}
    with httpx.Client(base_url=sandbox, trust_env=False) as http:
        told = http.post("/sandbox/changes", json=change)
    word = data / "change.json"
    word.write_text(told.text)
    sent = command(data, "pds", "changes", "send", str(word))
    assert [one["taken"] for one in sent["answers"]] == [1]

    def kinds() -> list[str]:
        found = command(data, "messages", "list", "--organisation", "E06000999")
        return [one["kind"] for one in found["messages"]]

    eventually(lambda: "number-superseded" in kinds(), timeout=60, interval=1.0)


@pytest.mark.timeout(240)
def test_a_second_up_is_refused_and_harms_nothing(running: tuple[Process, Path]) -> None:
    """It names the process that holds the directory; the first one's commands go on working."""
    process, data = running
    second = subprocess.run(
        [COMMAND, "up", "--data-dir", str(data)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 3
    assert f"in use by process {process.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert command(data, "topics", "plan")["create"] == []


@pytest.mark.timeout(120)
def test_up_stops_at_once_while_it_starts(tmp_path: Path) -> None:
    """Ctrl-C during the start ends it and what it had started, without waiting for the rest."""
    with Process([COMMAND, "up", "--data-dir", str(tmp_path / "d")], directory=tmp_path) as up:
        up.wait_for("starting Apache Kafka", timeout=60)
        os.kill(up.pid, signal.SIGINT)
        assert up.wait(timeout=30) != 0
        assert READY not in up.output()
        assert "Traceback" not in up.log_text()


@pytest.mark.timeout(60)
def test_a_data_directory_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    """No traceback, and the exit code of a wrong configuration."""
    (tmp_path / "file").touch()
    with Process([COMMAND, "up", "--data-dir", str(tmp_path / "file")], directory=tmp_path) as up:
        assert up.wait(timeout=30) == 3
        assert "choose another one" in up.log_text()
        assert "Traceback" not in up.log_text()


@pytest.mark.timeout(240)
def test_up_restarts_what_dies_and_shows_the_reason(running: tuple[Process, Path]) -> None:
    """A worker that is killed comes back, and the operator reads why it ended."""
    process, data = running
    log = data / "logs" / "matching.log"
    before = log.stat().st_size
    table = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    pids = [
        int(line.split()[0])
        for line in table.stdout.splitlines()
        if "halyard.cli.main worker matching" in line
        and _parent(int(line.split()[0])) == process.pid
    ]
    assert len(pids) == 1
    os.kill(pids[0], signal.SIGKILL)
    process.wait_for("matching ended (SIGKILL); it restarts in", timeout=30)
    process.wait_for("matching restarted", timeout=30)
    # It reads again: no other test waits for what this one did
    eventually(lambda: b"process_ready" in log.read_bytes()[before:], timeout=60)


@pytest.mark.timeout(240)
def test_up_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    """SIGKILL of `halyard up` ends Kafka, PostgreSQL and every process of the hub."""
    with Process([COMMAND, "up", "--data-dir", str(tmp_path / "d")], directory=tmp_path) as up:
        up.wait_for(READY, timeout=120)
        children = _descendants(up.pid)
        assert len(children) >= 15
        os.kill(up.pid, signal.SIGKILL)
        eventually(lambda: not any(process_runs(pid) for pid in children), timeout=20)


def _parent(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def _descendants(pid: int) -> list[int]:
    found = [
        child
        for name in os.listdir("/proc")
        if name.isdigit() and (child := int(name)) and _parent_or_zero(child) == pid
    ]
    return found + [one for child in found for one in _descendants(child)]


def _parent_or_zero(pid: int) -> int:
    try:
        return _parent(pid)
    except (OSError, IndexError, ValueError):
        return 0
