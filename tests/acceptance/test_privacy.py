"""Canary values go through everything; then everything that is not a body is searched for them.

One system of its own, so that the logs of its Kafka and its PostgreSQL can be read whole.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.receiver import Received
from schemas import codec
from schemas.events import AttendanceVerified, IdentityStatus
from schemas.topics import (
    ALERT_CHANGED,
    ALERT_RECEIPT,
    ATTENDANCE_REPORTED,
    ATTENDANCE_VERIFIED,
    CASE_CHANGED,
    DEATH_NOTIFIED,
    DEATH_VERIFIED,
    FLAG_SUBMITTED,
    FLAG_VERIFIED,
    IDENTITY_UNRESOLVED,
    MESSAGE_REJECTED,
    REPORT_REQUESTED,
    REPORT_VERIFIED,
    dead_letter,
    registry,
)
from tests.support.canary_run import (
    BESIDE,
    CANARY,
    HOSPITALS_OWN,
    PEOPLE,
    POISONED,
    RESTRICTED,
    Aftermath,
    everything_done,
)
from tests.support.hub_files import CONTACT
from tests.support.journals import OnWire, all_alerts, on_wire, received, topics_of
from tests.support.load import reported
from tests.support.system import Hub

pytestmark = pytest.mark.timeout(240)

EXEMPT = {"halyard.control.v1"}
REQUIRED = {"ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "traceparent"}


def _spellings() -> re.Pattern[str]:
    found: set[str] = {BESIDE["upn"], *BESIDE["siblings"].split(";"), HOSPITALS_OWN}
    for one in PEOPLE:
        number, (year, month, day) = one.nhs_number, one.birth_date.split("-")
        assert one.postcode is not None
        found |= {
            number,
            f"{number[:3]} {number[3:6]} {number[6:]}",
            f"{number[:3]}-{number[3:6]}-{number[6:]}",
            one.family,
            one.given[0],
            one.birth_date,
            f"{year}{month}{day}",
            f"{day}/{month}/{year}",
            f"{day}.{month}.{year}",
            one.postcode,
            one.postcode.replace(" ", ""),
            one.postcode.replace(" ", "%20"),
        }
    return re.compile("|".join(map(re.escape, sorted(found))), re.IGNORECASE)


SPELLINGS = _spellings()


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """The system after everything was done to it."""
    with everything_done(Path(tmp_path_factory.mktemp("privacy"))) as made:
        yield made


def test_canaries_did_go_through(aftermath: Aftermath) -> None:
    """The search would find them: bodies on the bus and at the receiver hold the values."""
    hub = aftermath.hub
    for topic in (ATTENDANCE_REPORTED, FLAG_SUBMITTED, MESSAGE_REJECTED, ALERT_CHANGED):
        assert any(SPELLINGS.search(_text(one.value)) for one in on_wire(hub, topic)), topic
    for topic in (DEATH_NOTIFIED, DEATH_VERIFIED, REPORT_VERIFIED, REPORT_REQUESTED, CASE_CHANGED):
        assert any(SPELLINGS.search(_text(one.value)) for one in on_wire(hub, topic)), topic
    assert any(SPELLINGS.search(str(row)) for row in hub.store("select value from facts"))
    for topic, group in POISONED.items():
        letters = on_wire(hub, dead_letter(topic, group))
        assert len(letters) == 3
        assert all(SPELLINGS.search(_text(one.value)) for one in letters)
    assert any(SPELLINGS.search(json.dumps(one.body)) for one in all_alerts(hub))
    parked = hub.count("select count(*) from deliveries where state = 'parked'")
    assert parked == 1


def test_no_canary_in_any_log(aftermath: Aftermath) -> None:
    """Neither the hub's processes, nor PostgreSQL's, Kafka's or the sandbox's."""
    own = aftermath.own
    logs = [
        *own.hub.logs.glob("*"),
        own.postgres.log_file,
        own.kafka.output_file,
        *own.kafka.log_file.parent.glob("*.log*"),
    ]
    assert {own.kafka.log_file, own.hub.logs / "identity.log"} <= set(logs)
    assert b"duplicate key value" in own.postgres.log_file.read_bytes()
    for log in logs:
        for number, line in enumerate(_text(log.read_bytes()).splitlines(), start=1):
            assert not SPELLINGS.search(line), f"{log.name}:{number}"


def test_no_canary_in_topic_names_keys_or_headers(aftermath: Aftermath) -> None:
    """Of every record on every topic of the system."""
    names = topics_of(aftermath.hub)
    assert len(names) == len(registry())
    for name in names:
        assert not SPELLINGS.search(name)
    for one in _everything(aftermath.hub):
        assert not SPELLINGS.search(_text(one.key)), one.topic
        for key, value in one.headers.items():
            assert not SPELLINGS.search(f"{key}: {value}"), f"{one.topic}: {key}"


def test_no_canary_in_metrics_health_or_command_lines(aftermath: Aftermath) -> None:
    """/metrics, /livez and /readyz of every process, its arguments, and its environment."""
    hub = aftermath.hub
    for name, process in hub.processes.items():
        status, text = hub.health(name, "/metrics")
        assert status == 200, name
        assert not SPELLINGS.search(text), name
        for path in ("/livez", "/readyz"):
            assert not SPELLINGS.search(hub.health(name, path)[1]), name
        for file in ("cmdline", "environ"):
            place = Path(f"/proc/{process.pid}/{file}")
            if place.exists():
                assert not SPELLINGS.search(_text(place.read_bytes())), name


def test_no_canary_in_file_names_or_urls(aftermath: Aftermath) -> None:
    """No file of the hub, Kafka or PostgreSQL is named after a person; neither is the address of
    anything that the hub calls or links to.
    """
    own = aftermath.own
    home = own.hub.directory.parent
    for file in home.rglob("*"):
        assert not SPELLINGS.search(str(file.relative_to(home)))
    for endpoint in own.hub.registry.endpoints.values():
        assert not SPELLINGS.search(endpoint.url)
    for entry in [*all_alerts(own.hub), *received(own.hub, CONTACT)]:
        for link in re.findall(r"https?://[^\s\"]+", json.dumps(entry.body)):
            assert not SPELLINGS.search(link)


def test_every_record_carries_cloudevents_headers_and_a_traceparent(aftermath: Aftermath) -> None:
    """On every topic, dead letters included."""
    records = _everything(aftermath.hub)
    topics = {one.topic for one in records}
    assert {
        *(ATTENDANCE_REPORTED, ATTENDANCE_VERIFIED, FLAG_SUBMITTED, FLAG_VERIFIED),
        *(ALERT_CHANGED, ALERT_RECEIPT, MESSAGE_REJECTED, IDENTITY_UNRESOLVED),
        *(DEATH_NOTIFIED, DEATH_VERIFIED, REPORT_VERIFIED, REPORT_REQUESTED, CASE_CHANGED),
    } <= topics
    for one in records:
        if one.topic in EXEMPT:
            continue
        assert one.headers.keys() >= REQUIRED, one.topic
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", one.headers["traceparent"])
        assert one.headers["ce_specversion"] == "1.0"


def test_one_traceparent_from_ingress_to_webhook(aftermath: Aftermath) -> None:
    """An arrival, its verified event, its alert, the receipt of it, and the webhooks to authority
    and hospital all carry the traceparent that ingress made.
    """
    hub = aftermath.hub
    event_id = str(reported(hub, aftermath.first).event_id)
    everything = _everything(hub)
    (trace,) = {one.headers["traceparent"] for one in everything if one.event_id == event_id}
    hops = {one.topic for one in everything if one.headers["traceparent"] == trace}
    assert {ATTENDANCE_REPORTED, ATTENDANCE_VERIFIED, ALERT_CHANGED, ALERT_RECEIPT} <= hops
    (raised,) = [one for one in all_alerts(hub) if one.traceparent == trace and one.version == 1]
    told = [one.kind for one in received(hub, CONTACT) if one.traceparent == trace]
    assert "match" in told
    assert raised.body["person"]["nhs_number"] == CANARY.nhs_number


def test_a_restricted_child_never_gets_a_provisional_alert(aftermath: Aftermath) -> None:
    """PDS was down and the child agreed in part: nothing went out, though the other child's
    provisional alert did. Verified, it went to the contact registered for restricted children
    alone, without place or reason; the hospital's contact hears nothing.
    """
    hub = aftermath.hub
    assert [row["state"] for row in aftermath.waited] == ["waiting"]
    assert not [one for one in aftermath.during if _number(one) == RESTRICTED.nhs_number]
    own = [one for one in all_alerts(hub) if _number(one) == RESTRICTED.nhs_number]
    assert own
    assert not any(one.body["provisional"] for one in own)
    assert all(one.body["restricted"] for one in own)
    assert all(one.body["visit"]["department"] is None for one in own)
    assert all(one.body["visit"]["reason"] is None for one in own)
    assert not [one for one in received(hub, CONTACT) if _number(one) == RESTRICTED.nhs_number]
    person = hub.keys.person(RESTRICTED.nhs_number)
    for one in on_wire(hub, ATTENDANCE_VERIFIED):
        with contextlib.suppress(Exception):  # the poison
            event = codec.decode(one.value)
            if isinstance(event, AttendanceVerified) and event.identity.person == person:
                assert event.identity.status is IdentityStatus.VERIFIED
    destinations = {
        row["destination"]
        for row in hub.query(
            "select destination from deliveries join alerts using (alert_id)"
            " where alerts.person = %s",
            person,
        )
    }
    assert destinations == {"north-restricted"}


def _number(one: Received) -> str | None:
    person = one.body.get("person")
    return person["nhs_number"] if person else None


def _everything(hub: Hub) -> list[OnWire]:
    return on_wire(hub, *(topic.name for topic in registry()))


def _text(data: bytes) -> str:
    return data.decode("latin-1")
