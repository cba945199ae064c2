-- name: of_threads
select reported_event_id, stream, m.source, m.source_patient, message_id, organisation, kind,
    version, content_digest, standing, rule, received_at, due_at, revision, answered_at,
    traceparent, event
from case_messages m
join unnest(%(sources)s::text[], %(patients)s::text[]) as given (source, source_patient)
    on m.source = given.source and m.source_patient = given.source_patient
order by received_at, reported_event_id

-- name: by_message_id
select m.source, m.message_id, m.reported_event_id
from case_messages m
join unnest(%(sources)s::text[], %(ids)s::text[]) as given (source, message_id)
    on m.source = given.source and m.message_id = given.message_id
where m.rule <> 'id-reuse'

-- name: held_due
select source, source_patient, min(stream) as stream, min(due_at) as due_at
from case_messages
where standing = 'held' and due_at <= %(now)s
group by source, source_patient
having %(after_at)s::timestamptz is null
    or (min(due_at), source, source_patient)
        > (%(after_at)s::timestamptz, %(after_source)s::text, %(after_patient)s::text)
order by min(due_at), source, source_patient
limit %(limit)s

-- name: held
select count(*) as amount from case_messages where standing = 'held'

-- name: save
insert into case_messages (
    reported_event_id, stream, source, source_patient, message_id, organisation, kind, version,
    content_digest, standing, rule, received_at, due_at, revision, answered_at, traceparent, event
)
values (
    %(reported_event_id)s, %(stream)s, %(source)s, %(source_patient)s, %(message_id)s,
    %(organisation)s, %(kind)s, %(version)s, %(content_digest)s, %(standing)s, %(rule)s,
    %(received_at)s, %(due_at)s, %(revision)s, %(answered_at)s, %(traceparent)s, %(event)s
)
on conflict (reported_event_id) do update set
    standing = excluded.standing, rule = excluded.rule, due_at = excluded.due_at,
    revision = excluded.revision, event = excluded.event,
    answered_at = coalesce(case_messages.answered_at, excluded.answered_at)

-- name: notifications
select n.source, n.source_patient, n.case_id, n.voided, n.void_reason, n.first_received_at, m.event
from case_notifications n
join case_messages m on m.reported_event_id = n.current_event_id
where n.case_id = any(%(case_ids)s::uuid[])

-- name: statements
select n.case_id, n.current_event_id, m.revision
from case_notifications n
join case_messages m on m.reported_event_id = n.current_event_id
where n.case_id = any(%(case_ids)s::uuid[])

-- name: notification
select n.source, n.source_patient, n.case_id, n.voided, n.void_reason, n.first_received_at, m.event
from case_notifications n
join case_messages m on m.reported_event_id = n.current_event_id
where n.source = %(source)s and n.source_patient = %(source_patient)s

-- name: save_notification
insert into case_notifications (
    source, source_patient, case_id, current_event_id, voided, void_reason, first_received_at
)
values (
    %(source)s, %(source_patient)s, %(case_id)s, %(current)s, %(voided)s, %(reason)s, %(first)s
)
on conflict (source, source_patient) do update set
    current_event_id = excluded.current_event_id, voided = excluded.voided,
    void_reason = excluded.void_reason, first_received_at = excluded.first_received_at

-- name: reports
select r.source, r.source_patient, r.case_id, r.attached, m.event
from case_reports r
join case_messages m on m.reported_event_id = r.current_event_id
where r.case_id = any(%(case_ids)s::uuid[])

-- name: reports_of_threads
select r.source, r.source_patient, r.case_id, r.attached, m.event
from case_reports r
join unnest(%(sources)s::text[], %(patients)s::text[]) as given (source, source_patient)
    on r.source = given.source and r.source_patient = given.source_patient
join case_messages m on m.reported_event_id = r.current_event_id

-- name: waiting_reports
select r.source, r.source_patient, r.case_id, r.attached, m.event
from case_reports r
join case_messages m on m.reported_event_id = r.current_event_id
where r.case_id is null and r.person = any(%(persons)s::text[])
order by m.received_at, r.source, r.source_patient

-- name: unattached
select r.source, r.source_patient, r.case_id, r.attached, m.event
from case_reports r
join case_messages m on m.reported_event_id = r.current_event_id
where r.case_id is null
order by m.received_at, r.source, r.source_patient
limit %(limit)s

-- name: count_unattached
select count(*) as amount from case_reports where case_id is null

-- name: report_of_event
select r.source, r.source_patient, r.case_id, r.attached, m.event
from case_messages said
join case_reports r on r.source = said.source and r.source_patient = said.source_patient
join case_messages m on m.reported_event_id = r.current_event_id
where said.reported_event_id = %(event_id)s and said.stream = 'report'

-- name: save_report
insert into case_reports (
    source, source_patient, current_event_id, case_id, person, request_id, attached
)
values (
    %(source)s, %(source_patient)s, %(current)s, %(case_id)s, %(person)s, %(request_id)s,
    %(attached)s
)
on conflict (source, source_patient) do update set
    current_event_id = excluded.current_event_id, case_id = excluded.case_id,
    person = excluded.person, request_id = excluded.request_id, attached = excluded.attached
