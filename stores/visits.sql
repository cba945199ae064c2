-- name: events_of_visits
select * from visit_events where visit_id = any(%(visit_ids)s::uuid[])

-- name: save_events
-- A lower revision never replaces a higher one, whatever the order of arrival
insert into visit_events
    (reported_event_id, revision, retracted, visit_id, source_patient, person, received_at, traceparent, event)
select * from unnest(
    %(reported_event_ids)s::uuid[], %(revisions)s::integer[], %(retracted)s::boolean[],
    %(visit_ids)s::uuid[], %(source_patients)s::text[], %(persons)s::text[],
    %(received_at)s::timestamptz[], %(traceparents)s::text[], %(events)s::bytea[])
on conflict (reported_event_id) do update set
    revision = excluded.revision, retracted = excluded.retracted, visit_id = excluded.visit_id,
    source_patient = excluded.source_patient, person = excluded.person,
    received_at = excluded.received_at, traceparent = excluded.traceparent, event = excluded.event
where excluded.revision > visit_events.revision

-- name: drop_stale
-- What the visits are made of no more: a merge gives a visit another source patient. Not an earlier
-- attendance under a number that is used again, of which retention has left no event
delete from visits old
where old.visit_id = any(%(visit_id)s::uuid[])
    and old.received_at >= (select min(e.received_at) from visit_events e where e.visit_id = old.visit_id)
    and not exists (select from unnest(%(visit_id)s::uuid[], %(source_patient)s::text[])
            as kept (visit_id, source_patient)
        where kept.visit_id = old.visit_id and kept.source_patient = old.source_patient)

-- name: save
insert into visits (
    visit_id, source_patient, person, hospital, live, state, arrived_at, arrived_offset,
    arrived_repeated, received_at, late, fresh, provisional, restricted, department, site_ods,
    admission_method, mode_of_arrival, reason, also, also_restricted, acuity, departed_at,
    departed_offset, departed_repeated, discharge_destination, birth, location_shielded, heard_until,
    changed_at
)
select * from unnest(
    %(visit_id)s::uuid[], %(source_patient)s::text[], %(person)s::text[], %(hospital)s::text[],
    %(live)s::boolean[], %(state)s::text[], %(arrived_at)s::timestamptz[],
    %(arrived_offset)s::integer[], %(arrived_repeated)s::boolean[], %(received_at)s::timestamptz[],
    %(late)s::boolean[], %(fresh)s::boolean[], %(provisional)s::boolean[], %(restricted)s::boolean[],
    %(department)s::text[], %(site_ods)s::text[], %(admission_method)s::text[],
    %(mode_of_arrival)s::text[], %(reason)s::text[], %(also)s::text[],
    %(also_restricted)s::boolean[], %(acuity)s::text[], %(departed_at)s::timestamptz[],
    %(departed_offset)s::integer[], %(departed_repeated)s::boolean[],
    %(discharge_destination)s::text[], %(birth)s::boolean[], %(location_shielded)s::boolean[],
    %(heard_until)s::timestamptz[], %(changed_at)s::timestamptz[])
on conflict (visit_id, source_patient) do update set
    person = excluded.person,
    hospital = excluded.hospital, live = excluded.live, state = excluded.state,
    arrived_at = excluded.arrived_at, arrived_offset = excluded.arrived_offset,
    arrived_repeated = excluded.arrived_repeated, received_at = excluded.received_at,
    late = excluded.late, fresh = excluded.fresh, provisional = excluded.provisional, restricted = excluded.restricted,
    department = excluded.department, site_ods = excluded.site_ods,
    admission_method = excluded.admission_method, mode_of_arrival = excluded.mode_of_arrival,
    reason = excluded.reason, also = excluded.also,
    also_restricted = excluded.also_restricted, acuity = excluded.acuity,
    departed_at = excluded.departed_at, departed_offset = excluded.departed_offset,
    departed_repeated = excluded.departed_repeated,
    discharge_destination = excluded.discharge_destination, birth = excluded.birth,
    location_shielded = excluded.location_shielded, heard_until = excluded.heard_until, changed_at = excluded.changed_at

-- name: persons_of_visits
select person from visits where visit_id = any(%(visit_ids)s::uuid[]) and person is not null
union
select also as person from visits where visit_id = any(%(visit_ids)s::uuid[]) and also is not null
union
select person from visit_events where visit_id = any(%(visit_ids)s::uuid[])

-- name: of_persons
select * from visits where person = any(%(persons)s::text[])
union
select * from visits where also = any(%(persons)s::text[])
union
select * from visits where visit_id = any(%(visit_ids)s::uuid[])

-- name: put_hidden
insert into hidden_patients (source_patient, hidden_at)
select one, %(at)s from unnest(%(patients)s::text[]) as given (one)
on conflict (source_patient) do nothing

-- name: hidden
select source_patient from hidden_patients where source_patient = any(%(patients)s::text[])

-- name: persons_of_patients
select person from visits where source_patient = any(%(patients)s::text[]) and person is not null
union
select also as person from visits where source_patient = any(%(patients)s::text[]) and also is not null

-- name: hide
update visits set location_shielded = true, changed_at = %(at)s
where source_patient = any(%(patients)s::text[]) and not location_shielded
