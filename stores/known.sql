-- name: flags
select authority, plan_type, start_date, end_date, restricted from flags
where person = %(person)s and plan_type in ('CPP', 'LAC')
order by authority, plan_type, start_date

-- name: attendances
-- Only visits that are verified as the person's, and only where nobody hides the place
select hospital, department, arrived_at from visits
where person = %(person)s and live and not provisional and not birth
    and not restricted and not location_shielded
    and arrived_at > %(since)s and arrived_at < %(until)s
order by arrived_at desc, visit_id
limit %(limit)s

-- name: anybody_sends
select exists (select from uploads where file_rule is null) as sends

-- name: note
insert into death_notes (case_id, person, noted_at)
select %(case_id)s, person, %(at)s from unnest(%(persons)s::text[]) as given (person)
on conflict (case_id, person) do update set noted_at = excluded.noted_at, withdrawn_at = null
where death_notes.withdrawn_at is not null

-- name: withdraw
update death_notes set withdrawn_at = %(at)s
where case_id = %(case_id)s and withdrawn_at is null and person <> all(%(persons)s::text[])

-- name: noted
select min(noted_at) as noted_at from death_notes
where person = %(person)s and withdrawn_at is null
