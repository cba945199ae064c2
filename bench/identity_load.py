"""Arrivals and a practice PDS for `bench.identity`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import httpx

from halyard import ids
from halyard.clock import system_clock
from halyard.kafka import Incoming, cloudevent_headers
from halyard.privacy import Keys
from sandbox.pds.people import Person
from schemas import codec, topics
from schemas.events import AttendanceReported, PersonClaim, VisitEventKind

TRACE: Final = f"00-{'a' * 32}-{'b' * 16}-01"
TOKEN: Final = "practice-token"  # pragma: allowlist secret
KEYS: Final = Keys(bus=b"b" * 32, store=b"s" * 32)


def arrivals(people: Sequence[Person], run: str, *, messages: int = 1) -> Iterator[Incoming]:
    """Each of them arrives; further messages of the visit follow at once."""
    now = system_clock()
    for place, person in enumerate(people):
        for serial in range(messages):
            first = serial == 0
            message_id = f"{run}-{place}-{serial}"
            yield _incoming(
                AttendanceReported(
                    event_id=ids.derive("attendance", "bench", message_id),
                    source="bench",
                    organisation="RX1",
                    message_id=message_id,
                    received_at=now,
                    trigger="A04" if first else "A08",
                    kind=VisitEventKind.REGISTER if first else VisitEventKind.UPDATE,
                    arrival=first,
                    arrival_rule="default",
                    visit_id=ids.derive("visit", "bench", f"{run}-{place}"),
                    source_person=KEYS.source_person("bench", f"{run}-{place}", None, None),
                    source_patient=KEYS.source_patient("bench", f"{run}-{place}", None, None),
                    claim=_claim(person, f"{run}-{place}"),
                    message=b"",
                )
            )


def _claim(person: Person, local_id: str) -> PersonClaim:
    return PersonClaim(
        nhs_number=person.nhs_number,
        family=person.family,
        given=person.given,
        birth_date=person.birth_date,
        gender=person.gender,
        postcode=person.postcode,
        local_id=local_id,
    )


def _incoming(event: AttendanceReported) -> Incoming:
    headers = cloudevent_headers(
        event_id=event.event_id,
        event_type="AttendanceReported",
        source="bench",
        time=event.received_at,
        traceparent=TRACE,
    )
    value = codec.encode(event)
    return Incoming(topics.ATTENDANCE_REPORTED, 0, 0, event.source_person, value, headers)


def practice_pds(people: Sequence[Person], place: Path) -> tuple[subprocess.Popen[str], str]:
    """A practice PDS that knows these people, in a process of its own; 50 ms before each answer."""
    file = place / "people.jsonl"
    rows = ({name: value for name, value in asdict(one).items() if value} for one in people)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox.pds", "--people", str(file)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "HALYARD_PDS__TOKEN": TOKEN},
    )
    assert process.stdout is not None
    url = str(json.loads(process.stdout.readline())["base_url"])
    door = url.partition("/personal-demographics")[0]
    httpx.post(f"{door}/sandbox/faults", json={"latency_ms": 50}).raise_for_status()
    return process, url


def calls_of(url: str) -> int:
    door = url.partition("/personal-demographics")[0]
    return int(httpx.get(f"{door}/sandbox/calls").json()["calls"])
