-- Copies of the cases that are there, as the databases' owner: every table that grows with cases,
-- in both schemas. The n-th copy of anything has its id, token, person or reference with n hashed
-- in, so that what belongs together still does: a copy shares tokens with copies of the same round
-- as its original does with theirs. The encoded events and letters are those of the original.
-- Left out: what is purged soon (outbox, traces, identities), and the index of the log (journal).

-- name: begin
create temporary table copies (case_id uuid, n integer, copy uuid) on commit drop

-- name: plan
insert into copies (case_id, n, copy)
select case_id, n, md5(case_id::text || '/' || n)::uuid
from halyard.cases cross join generate_series(1, %(rounds)s) as n
order by n, case_id limit %(missing)s

-- name: planned
analyze copies

-- name: cases
insert into halyard.cases (
    case_id, person, state, version, content, opened_at, changed_at, merged_into, voided_by_person,
    assigned_panel, assigned_reason, assigned_by, assigned_at, panel, eligibility, needs
)
select copy, md5(person || '/' || n), state, version, content, opened_at, changed_at,
    md5(merged_into::text || '/' || n)::uuid, voided_by_person, assigned_panel, assigned_reason,
    assigned_by, assigned_at, panel, eligibility, needs
from halyard.cases join copies using (case_id)

-- name: case_events
insert into halyard.case_events (
    case_id, version, event_id, change, rule, cause, by, changed_at, content, panel, informed
)
select copy, version, md5(event_id::text || '/' || n)::uuid, change, rule,
    md5(cause::text || '/' || n)::uuid, by, changed_at, content, panel, informed
from halyard.case_events join copies using (case_id)

-- name: case_notifications
insert into halyard.case_notifications (
    source, source_patient, case_id, current_event_id, voided, void_reason, first_received_at
)
select source, md5(source_patient || '/' || n), copy, md5(current_event_id::text || '/' || n)::uuid,
    voided, void_reason, first_received_at
from halyard.case_notifications join copies using (case_id)

-- name: case_messages
insert into halyard.case_messages (
    reported_event_id, stream, source, source_patient, message_id, organisation, kind, version,
    content_digest, standing, rule, received_at, due_at, revision, answered_at, traceparent, event
)
select md5(m.reported_event_id::text || '/' || c.n)::uuid, m.stream, m.source,
    md5(m.source_patient || '/' || c.n), m.message_id || '/' || c.n, m.organisation, m.kind,
    m.version, md5(m.content_digest || '/' || c.n), m.standing, m.rule, m.received_at, m.due_at,
    m.revision, m.answered_at, m.traceparent, m.event
from halyard.case_messages m
join halyard.case_notifications s using (source, source_patient)
join copies c on c.case_id = s.case_id

-- name: claims
-- None waits for a trace that nobody makes
insert into halyard.claims (
    reported_event_id, key, event_kind, visit_id, state, rule, indicator, priority, person,
    restricted, revision, number_token, demographic_token, received_at, decided_at, traceparent,
    event, version, request_id
)
select md5(a.reported_event_id::text || '/' || c.n)::uuid, md5(a.key || '/' || c.n), a.event_kind,
    a.visit_id, case when a.state in ('waiting', 'provisional') then 'unresolved' else a.state end,
    a.rule, a.indicator, a.priority, md5(a.person || '/' || c.n), a.restricted, a.revision,
    md5(a.number_token || '/' || c.n), md5(a.demographic_token || '/' || c.n), a.received_at,
    a.decided_at, a.traceparent, a.event, a.version, a.request_id
from halyard.claims a
join halyard.case_messages m using (reported_event_id)
join halyard.case_notifications s on s.source = m.source and s.source_patient = m.source_patient
join copies c on c.case_id = s.case_id

-- name: worklist
insert into halyard.worklist (
    entry_id, reported_event_id, event_kind, organisation, source, rule, indicator, local_id,
    opened_at, closed_at, closed_rule
)
select md5(w.entry_id::text || '/' || c.n)::uuid, md5(w.reported_event_id::text || '/' || c.n)::uuid,
    w.event_kind, w.organisation, w.source, w.rule, w.indicator, w.local_id, w.opened_at,
    w.closed_at, w.closed_rule
from halyard.worklist w
join halyard.case_messages m using (reported_event_id)
join halyard.case_notifications s on s.source = m.source and s.source_patient = m.source_patient
join copies c on c.case_id = s.case_id

-- name: case_tokens
insert into halyard.case_tokens (token, case_id)
select md5(token || '/' || n), copy from halyard.case_tokens join copies using (case_id)

-- name: death_notified_tokens
insert into halyard.death_notified_tokens (token, case_id)
select md5(token || '/' || n), copy from halyard.death_notified_tokens join copies using (case_id)

-- name: death_notes
insert into halyard.death_notes (case_id, person, noted_at, withdrawn_at)
select copy, md5(person || '/' || n), noted_at, withdrawn_at
from halyard.death_notes join copies using (case_id)

-- name: case_told
insert into halyard.case_told (
    case_id, organisation, kind, round, person, told_at, withdrawn_at
)
select copy, organisation, kind, round, md5(person || '/' || n), told_at, withdrawn_at
from halyard.case_told join copies using (case_id)

-- name: case_proposals
insert into halyard.case_proposals (
    one, other, score, rule, agreements, differences, state, proposed_at, changed_at, decided_by,
    decided_reason, decided_at
)
select least(a.copy, b.copy), greatest(a.copy, b.copy), score, rule, agreements, differences, state,
    proposed_at, changed_at, decided_by, decided_reason, decided_at
from halyard.case_proposals
join copies a on a.case_id = one
join copies b on b.case_id = other and b.n = a.n

-- name: report_requests
insert into halyard.report_requests (
    request_id, case_id, version, state, requested_at, due_at, panel, agency, agency_name, role,
    rule, sections, person, changed_at
)
select md5(request_id::text || '/' || n)::uuid, copy, version, state, requested_at, due_at, panel,
    agency, agency_name, role, rule, sections, md5(person || '/' || n), changed_at
from halyard.report_requests join copies using (case_id)

-- name: letters
-- None is pushed; an answer to a message may name no case
insert into halyard.letters (
    letter_id, organisation, kind, about, message_id, case_id, body, needs_acknowledgement,
    created_at, acknowledged_at, endpoint, push, traceparent
)
select md5(l.letter_id::text || '/' || c.n)::uuid, l.organisation, l.kind,
    md5(l.about::text || '/' || c.n)::uuid, l.message_id || '/' || c.n,
    md5(l.case_id::text || '/' || c.n)::uuid, l.body, l.needs_acknowledgement, l.created_at,
    l.acknowledged_at, l.endpoint, case when l.push is not null then 'pushed' end, l.traceparent
from halyard.letters l
left join halyard.case_messages m on m.reported_event_id = l.about
left join halyard.case_notifications s
    on s.source = m.source and s.source_patient = m.source_patient
join copies c on c.case_id = coalesce(l.case_id, s.case_id)

-- name: inbox
-- As many of each event taken as there are copies of a case
insert into halyard.inbox (stage, event_id, taken_at)
select stage, md5(event_id::text || '/' || n)::uuid, taken_at
from halyard.inbox cross join generate_series(1, %(rounds)s) as n
where stage in ('identity', 'cases')
order by n
limit (select count(*) from halyard.inbox where stage in ('identity', 'cases')) * %(missing)s
    / (select count(distinct case_id) from copies)

-- name: ncmd_cases
-- Other numbers, of the test range; the check digit is not made
insert into ncmd.cases (
    case_id, version, change, rule, changed_at, needs_person, state, eligibility, eligibility_rule,
    indicator, identity_rule, nhs_number, restricted, panel, panel_rule, panels_informed, needs,
    conflicts, flag_history, known_as_at, merged_into
)
select copy, version, change, rule, changed_at, needs_person, state, eligibility, eligibility_rule,
    indicator, identity_rule,
    '999' || lpad((hashtextextended(nhs_number, n) & 8388607)::text, 7, '0'), restricted, panel,
    panel_rule, panels_informed, needs, conflicts, flag_history, known_as_at,
    md5(merged_into::text || '/' || n)::uuid
from ncmd.cases join copies using (case_id)

-- name: ncmd_history
insert into ncmd.history (
    case_id, version, event_id, change, rule, state, changed_at, cause, decided_by, needs_person,
    content, written_at
)
select copy, version, md5(event_id::text || '/' || n)::uuid, change, rule, state, changed_at,
    md5(cause::text || '/' || n)::uuid, decided_by, needs_person, content, written_at
from ncmd.history join copies using (case_id)

-- name: ncmd_facts
insert into ncmd.facts (
    case_id, position, name, row_number, organisation, event_id, value, absent, kind, as_at,
    stated_at, form
)
select copy, position, name, row_number, organisation, md5(event_id::text || '/' || n)::uuid, value,
    absent, kind, as_at, stated_at, form
from ncmd.facts join copies using (case_id)

-- name: ncmd_links
-- The last round may lack the other case
insert into ncmd.links (
    case_id, kind, position, organisation, key, source, version, state, at, from_day, to_day,
    event_id, request_id, other_case, reason
)
select copy, kind, position, organisation,
    case when kind in ('notification', 'tracking') then key || '/' || n else key end, source, version,
    state, at, from_day, to_day, md5(event_id::text || '/' || n)::uuid,
    md5(request_id::text || '/' || n)::uuid, md5(other_case::text || '/' || n)::uuid, reason
from ncmd.links join copies c using (case_id)
where other_case is null
    or exists (select from copies o where o.case_id = other_case and o.n = c.n)

-- name: ncmd_submissions
-- What is still to be sent counts as sent
insert into ncmd.submissions (
    case_id, version, voided, message_id, kind, body, state, attempts, round, due_at, last_reason,
    filed_at, sent_at, answered_at
)
select copy, version, voided, md5(message_id::text || '/' || n)::uuid, kind, body,
    case when state in ('pending', 'sent') then 'acknowledged' else state end, attempts, round,
    due_at, last_reason, filed_at, sent_at, answered_at
from ncmd.submissions join copies using (case_id)

-- name: counted
select (select count(*) from halyard.cases) as hub, (select count(*) from ncmd.cases) as store
