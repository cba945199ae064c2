-- name: persons_of_events
select reported_event_id, person, revision from flag_events
where reported_event_id = any(%(reported_event_ids)s::uuid[])

-- name: events_of_persons
select * from flag_events where person = any(%(persons)s::text[])

-- name: save_events
insert into flag_events (
    reported_event_id, revision, retracted, authority, person, plan_type, start_date, end_date,
    delete_date, sequence, line, local_id, phone_office, phone_emergency, nhs_number, birth_date,
    restricted, received_at
)
values (
    %(reported_event_id)s, %(revision)s, %(retracted)s, %(authority)s, %(person)s, %(plan_type)s,
    %(start)s, %(end)s, %(delete)s, %(sequence)s, %(line)s, %(local_id)s, %(phone_office)s,
    %(phone_emergency)s, %(nhs_number)s, %(birth_date)s, %(restricted)s, %(received_at)s
)
on conflict (reported_event_id) do update set
    revision = excluded.revision, retracted = excluded.retracted, authority = excluded.authority,
    person = excluded.person, plan_type = excluded.plan_type, start_date = excluded.start_date,
    end_date = excluded.end_date, delete_date = excluded.delete_date,
    sequence = excluded.sequence, line = excluded.line, local_id = excluded.local_id,
    phone_office = excluded.phone_office, phone_emergency = excluded.phone_emergency,
    nhs_number = excluded.nhs_number, birth_date = excluded.birth_date,
    restricted = excluded.restricted, received_at = excluded.received_at
where excluded.revision > flag_events.revision

-- name: remove
delete from flags where person = any(%(persons)s::text[])

-- name: save
insert into flags (
    authority, person, plan_type, start_date, end_date, local_id, phone_office, phone_emergency,
    nhs_number, birth_date, restricted, sequence, line, active_since, changed_at
)
values (
    %(authority)s, %(person)s, %(plan_type)s, %(start)s, %(end)s, %(local_id)s, %(phone_office)s,
    %(phone_emergency)s, %(nhs_number)s, %(birth_date)s, %(restricted)s, %(sequence)s, %(line)s,
    %(active_since)s, %(changed_at)s
)

-- name: of_persons
select * from flags where person = any(%(persons)s::text[])
order by person, authority, plan_type, start_date
