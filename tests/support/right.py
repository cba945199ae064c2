"""What counts as right after a load, from the senders' and the receivers' own journals."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from stores.claims import ClaimState
from tests.support.hub_files import AUTHORITIES, CONTACT
from tests.support.journals import all_alerts, last_versions, received, standing
from tests.support.load import Told, World, reported
from tests.support.system import Hub


def check_outcomes(hub: Hub, world: World, acked: Iterable[bytes]) -> None:
    """Exactly one final outcome, by event id, for each message that was answered AA; and the one
    that its patient asks for.
    """
    rows = {
        row["reported_event_id"]: row
        for row in hub.query(
            "select reported_event_id, state, person from claims where event_kind = 'attendance'"
        )
    }
    wanted = {reported(hub, body).event_id: body for body in acked}
    lost = wanted.keys() - rows.keys()
    assert not lost, f"{len(lost)} messages that were answered AA have no outcome"
    keys = hub.keys
    for event_id, body in wanted.items():
        row, patient = rows[event_id], world.about[body]
        state = ClaimState(row["state"])
        if body in world.not_used:
            expected, person = {ClaimState.NOT_USED}, None
        elif not patient.known:
            expected, person = {ClaimState.UNRESOLVED}, None
        elif not patient.child and not patient.plans:
            expected, person = {ClaimState.NOT_TRACED}, None
        else:
            expected, person = {ClaimState.VERIFIED}, keys.person(patient.number)
        assert state in expected, f"event {event_id} ended {state}, not {expected}"
        assert person is None or row["person"] == person, f"event {event_id} is another person's"


def check_alerts(hub: Hub, world: World, *, others: frozenset[str] = frozenset()) -> None:
    """By the receivers' own journals: each flagged person has one standing alert per episode and
    authority, whose last version lists all its flags; what was cancelled is withdrawn; nobody
    else was alerted; and the store says the same as the receivers.

    `others`: NHS numbers that other loads on the same system are about; they are passed over.
    """
    flagged = {one.number: {plan.authority for plan in one.plans} for one in world.patients}
    for authority, name in AUTHORITIES.items():
        for one in received(hub, name):
            number = one.body["person"]["nhs_number"]
            if number in others:
                continue
            assert one.kind == "alert"
            assert one.body["authority"]["gss"] == authority, "an alert went to another authority"
            assert authority in flagged[number], "somebody without a flag was alerted"
    everything = [one for one in all_alerts(hub) if one.body["person"]["nhs_number"] not in others]
    stand = standing(everything).values()
    told = [
        Told(
            one.body["person"]["nhs_number"],
            one.body["authority"]["gss"],
            datetime.fromisoformat(one.body["visit"]["arrived_at"]).astimezone(UTC),
            frozenset(flag["plan_type"] for flag in one.body["flags"] if flag["active"]),
        )
        for one in stand
    ]
    assert len(told) == len(set(told)), "two alerts stand for one episode and authority"
    missing, surplus = world.alerts - set(told), set(told) - world.alerts
    assert not missing, f"{len(missing)} of {len(world.alerts)} alerts do not stand"
    assert not surplus, f"{len(surplus)} alerts stand that should not"
    assert not any(one.body["provisional"] for one in stand)
    check_store(hub)


def check_store(hub: Hub) -> None:
    """The last version that each receiver has is the one that the store has told last."""
    last = {
        **last_versions(all_alerts(hub)),
    }
    matches = last_versions(one for one in received(hub, CONTACT) if one.kind == "match")
    versions = {
        str(row["alert_id"]): (row["version"], row["match"], row["state"])
        for row in hub.query(
            "select a.alert_id, a.state, max(d.version) filter (where d.kind = 'alert') as version,"
            " max(d.version) filter (where d.kind = 'match') as match"
            " from alerts a join deliveries d using (alert_id) group by a.alert_id"
        )
    }
    assert set(last) == set(versions)
    for alert_id, (version, match, state) in versions.items():
        assert last[alert_id].version == version
        assert (last[alert_id].body["change"] == "withdrawn") is (state == "withdrawn")
        if match is not None:
            assert matches[alert_id].version == match
    assert set(matches) <= set(versions), "the hospital was told of a match that is no alert"
