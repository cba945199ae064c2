"""Every metric name of the hub, typed in one place; mypy rejects any other.

Prometheus conventions: base units, bounded labels. No label ever holds a person, an id or a
visit.
"""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

CounterName = Literal[
    # messages read by the MLLP listener, by feed, kind (what it does to a visit; "refused" else)
    # and answer (AA, AE, AR; CA, CE, CR; none)
    "halyard_hl7v2_messages_total",
    # connections that the MLLP listener refused or ended, by reason (address, total, room, memory,
    # handshake, slow, unread, idle)
    "halyard_hl7v2_connections_ended_total",
    # FHIR messages, by feed and answer (HTTP status)
    "halyard_fhir_messages_total",
    # bytes kept because they could not be taken in, by transport and rule
    "halyard_rejected_total",
    # events a stage took from Kafka, by stage and result (fresh, repeat, dead_letter)
    "halyard_stage_events_total",
    # batches of a stage, by stage and verdict (done, transient, poison)
    "halyard_stage_batches_total",
    # outcomes of the identity ladder, by outcome and rule
    "halyard_identity_outcomes_total",
    # messages about deaths told to the cases, by kind (death, report) and NHS number status
    "halyard_identity_deaths_told_total",
    # calls to PDS, by operation (get, search) and outcome
    "halyard_pds_calls_total",
    # lines of batches that PDS answered, by kind (file, person) and outcome
    "halyard_trace_batch_lines_total",
    # traces of one person asked for, by result (taken, denied, too-many)
    "halyard_person_traces_total",
    # access tokens asked for, by result (had, or the rule of the failure)
    "halyard_pds_token_requests_total",
    # decisions about worklist entries, by action (resolve, reject, ask, retry, undo, schedule)
    # and by state: done or refused
    "halyard_worklist_decisions_total",
    # entries that ended because nobody resolved them in time, by kind
    "halyard_worklist_expired_total",
    # notifications of changes at PDS, by answer (taken, ignored, or HTTP status)
    "halyard_mns_events_total",
    # changes of people at PDS that identity took, by kind and whether the hub knows them (yes, no)
    "halyard_person_changes_total",
    # people of whom PDS was asked again, by outcome
    "halyard_number_rechecks_total",
    # alert changes, by change
    "halyard_alert_changes_total",
    # versions of cases, by change
    "halyard_case_changes_total",
    # answers to messages about deaths and reports, by answer (status, or the rule that rejected)
    "halyard_case_messages_total",
    # authorities to be told of a look at a flag, by result: told, told-before within 24 h, denied
    "halyard_access_notices_total",
    # look-ups of flags, by answer
    "halyard_lookups_total",
    # core demographic records asked for, by answer
    "halyard_person_records_total",
    # decisions of sharing policies, by flow and decision (permit, deny, review)
    "halyard_disclosures_total",
    # delivery attempts, by kind and result
    "halyard_delivery_attempts_total",
    # attempts to push a letter, by kind and result (pushed, retry, parked)
    "halyard_letter_pushes_total",
    # records published from the outbox, by topic
    "halyard_outbox_published_total",
    # upload lines, by result (accepted, refused)
    "halyard_upload_lines_total",
    # HTTP requests of `halyard serve`, by route template and status
    "halyard_http_requests_total",
    # requests that a caller's roles do not allow, by route template and rule
    "halyard_access_refused_total",
    # who was let in or not, by credential (access-token, machine-token, session, practice-token,
    # none) and result (admitted, or the rule)
    "halyard_authentications_total",
    # requests refused because of their number, by limit (concurrent, requests, failures)
    "halyard_access_limited_total",
    # machines' tokens of which this process alone says that they were not used before
    "halyard_used_tokens_unchecked_total",
    # fetches of the issuer's keys, by result (fetched, failed)
    "halyard_issuer_fetches_total",
    # live lists of alerts that ended, by reason (client, slow, time, stopping, database)
    "halyard_alert_streams_ended_total",
    # holes that the NCMD store has noticed, by kind (version; retention, beyond-end, another-log)
    "halyard_ncmd_gaps_total",
    # versions of cases with a symbol that this version of Halyard does not know
    "halyard_ncmd_unknown_total",
    # attempts at the NCMD store's HTTP interface, by result (acknowledged, rejected, taken, retry,
    # failed)
    "halyard_ncmd_submissions_total",
    # entries of the audit chain that were given their place and hash
    "halyard_audit_sealed_total",
    # signed checkpoints of the audit chain
    "halyard_audit_checkpoints_total",
    # accesses put before a person
    "halyard_audit_reviews_opened_total",
]
GaugeName = Literal[
    # entries of the audit chain that are under no stored checkpoint yet, and the oldest, seconds
    "halyard_audit_window_entries",
    "halyard_audit_window_seconds",
    # open reviews of accesses, and the oldest, seconds
    "halyard_audit_reviews_open",
    "halyard_audit_reviews_oldest_seconds",
    # unix time at which the issuer's keys were last fetched
    "halyard_issuer_keys_timestamp_seconds",
    "halyard_hl7v2_connections",
    # bytes that the MLLP listener holds for its connections
    "halyard_hl7v2_buffered_bytes",
    # unix time of the last message taken, by feed; at first that of the start
    "halyard_hl7v2_last_message_timestamp_seconds",
    # share of the ration that is spent now: 1, less after PDS said 429
    "halyard_pds_pace",
    # 1 while nothing is asked because PDS does not answer
    "halyard_pds_breaker_open",
    # trace requests waiting, by priority
    "halyard_trace_waiting",
    # numbers that PDS invalidated and that are quarantined
    "halyard_numbers_inactive",
    # flagged people of whom PDS is due to be asked again, as far as one turn takes them
    "halyard_reverify_due",
    # lines of batches that are not answered yet
    "halyard_trace_batch_lines_waiting",
    # messages about deaths that wait for the one that they follow
    "halyard_case_messages_held",
    # open worklist entries, by kind and group of their rules
    "halyard_worklist_open",
    # age of the oldest of them
    "halyard_worklist_age_seconds",
    # those that somebody has in hand, by kind
    "halyard_worklist_claimed",
    # oldest open worklist entry, seconds
    "halyard_worklist_oldest_seconds",
    # oldest unpublished outbox row, seconds
    "halyard_outbox_oldest_seconds",
    # records that can never be sent and that a person must look at
    "halyard_outbox_parked",
    # oldest due delivery, seconds
    "halyard_delivery_oldest_seconds",
    # deliveries that their receivers refused and that a person must redrive
    "halyard_delivery_parked",
    # alerts that a sharing policy denied to the authority that protects the child
    "halyard_alerts_denied",
    # deliveries and letters that a sharing policy leaves to a person, by kind (alert, other)
    "halyard_disclosures_held",
    # the oldest of them, seconds, by kind
    "halyard_disclosures_held_oldest_seconds",
    # deliveries whose authority has registered no endpoint
    "halyard_delivery_without_endpoint",
    # letters that their receivers refused; they can still be fetched
    "halyard_letters_parked",
    # oldest letter that is still to be pushed, seconds
    "halyard_letters_oldest_seconds",
    # letters that must be acknowledged and are not yet
    "halyard_letters_unacknowledged",
    # live lists of alerts that are open
    "halyard_alert_streams",
    # 1 while the destination's breaker is open
    "halyard_delivery_breaker_open",
    # unix time of the last event taken, by stage
    "halyard_last_event_timestamp_seconds",
    # records of the log that the NCMD store does not have yet
    "halyard_ncmd_behind",
    # partitions of the log that wait because no policy permits their next case to be stored
    "halyard_ncmd_denied",
    # submissions that are not done, by state (pending, sent, rejected, failed)
    "halyard_ncmd_submissions_open",
    # 1 while nothing is sent to the HTTP interface because it does not answer
    "halyard_ncmd_breaker_open",
]
HistogramName = Literal[
    # frame complete to ACK written
    "halyard_hl7v2_ack_seconds",
    # one batch of a stage, from taking to verdict
    "halyard_stage_batch_seconds",
    # arrival received to alert delivered
    "halyard_arrival_to_delivery_seconds",
    "halyard_pds_call_seconds",
]

_LABELS: dict[str, tuple[str, ...]] = {
    "halyard_hl7v2_messages_total": ("feed", "kind", "answer"),
    "halyard_hl7v2_connections_ended_total": ("reason",),
    "halyard_hl7v2_last_message_timestamp_seconds": ("feed",),
    "halyard_fhir_messages_total": ("feed", "answer"),
    "halyard_rejected_total": ("transport", "rule"),
    "halyard_stage_events_total": ("stage", "result"),
    "halyard_stage_batches_total": ("stage", "verdict"),
    "halyard_identity_outcomes_total": ("outcome", "rule"),
    "halyard_identity_deaths_told_total": ("kind", "indicator"),
    "halyard_pds_calls_total": ("operation", "outcome"),
    "halyard_trace_batch_lines_total": ("kind", "outcome"),
    "halyard_person_traces_total": ("result",),
    "halyard_pds_token_requests_total": ("result",),
    "halyard_worklist_decisions_total": ("action", "state"),
    "halyard_worklist_expired_total": ("kind",),
    "halyard_worklist_open": ("kind", "group"),
    "halyard_worklist_age_seconds": ("kind", "group"),
    "halyard_worklist_claimed": ("kind",),
    "halyard_mns_events_total": ("answer",),
    "halyard_person_changes_total": ("kind", "known"),
    "halyard_number_rechecks_total": ("outcome",),
    "halyard_alert_changes_total": ("change",),
    "halyard_case_changes_total": ("change",),
    "halyard_case_messages_total": ("answer",),
    "halyard_access_notices_total": ("result",),
    "halyard_lookups_total": ("answer",),
    "halyard_person_records_total": ("answer",),
    "halyard_disclosures_total": ("flow", "decision"),
    "halyard_disclosures_held": ("kind",),
    "halyard_disclosures_held_oldest_seconds": ("kind",),
    "halyard_delivery_attempts_total": ("kind", "result"),
    "halyard_letter_pushes_total": ("kind", "result"),
    "halyard_outbox_published_total": ("topic",),
    "halyard_upload_lines_total": ("result",),
    "halyard_http_requests_total": ("route", "status"),
    "halyard_access_refused_total": ("route", "rule"),
    "halyard_authentications_total": ("credential", "result"),
    "halyard_access_limited_total": ("limit",),
    "halyard_issuer_fetches_total": ("result",),
    "halyard_alert_streams_ended_total": ("reason",),
    "halyard_trace_waiting": ("priority",),
    "halyard_delivery_breaker_open": ("destination",),
    "halyard_last_event_timestamp_seconds": ("stage",),
    "halyard_stage_batch_seconds": ("stage",),
    "halyard_ncmd_gaps_total": ("kind",),
    "halyard_ncmd_submissions_total": ("result",),
    "halyard_ncmd_submissions_open": ("state",),
}
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

registry = CollectorRegistry()
_made: dict[str, Counter | Gauge | Histogram] = {}
# labels are checked once for each set of them: there are few (no label holds an id)
_counters: dict[tuple[Counter, tuple[tuple[str, str], ...]], Counter] = {}


def count(name: CounterName, amount: float = 1, **labels: str) -> None:
    """Add `amount` to a counter."""
    metric = _made.get(name)
    if metric is None:
        metric = _made[name] = Counter(name, name, _LABELS.get(name, ()), registry=registry)
    assert isinstance(metric, Counter)
    if not labels:
        metric.inc(amount)
        return
    one = (metric, tuple(labels.items()))
    counter = _counters.get(one)
    if counter is None:
        counter = _counters[one] = metric.labels(**labels)
    counter.inc(amount)


def gauge(name: GaugeName, value: float, **labels: str) -> None:
    """Set a gauge."""
    metric = _made.get(name)
    if metric is None:
        metric = _made[name] = Gauge(name, name, _LABELS.get(name, ()), registry=registry)
    assert isinstance(metric, Gauge)
    (metric.labels(**labels) if labels else metric).set(value)


def observe(name: HistogramName, seconds: float, **labels: str) -> None:
    """Record a duration in seconds."""
    metric = _made.get(name)
    if metric is None:
        metric = _made[name] = Histogram(
            name, name, _LABELS.get(name, ()), registry=registry, buckets=_BUCKETS
        )
    assert isinstance(metric, Histogram)
    (metric.labels(**labels) if labels else metric).observe(seconds)
