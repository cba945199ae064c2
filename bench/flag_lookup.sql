-- name: add_people
-- As if PDS had verified them lately, without the tokens by which a search finds them
insert into identities (person, nhs_number, names, birth_date, gender, restricted, verified_at,
    flagged, flagged_at, keep_until)
select person, number, '{"family": "Bench", "given": [], "other_families": [], "other_given": []}',
    '2018-03-04', 'female', %(restricted)s, %(now)s, %(flagged)s, %(now)s,
    %(now)s::timestamptz + interval '2 days'
from unnest(%(persons)s::text[], %(numbers)s::text[]) as given (person, number)

-- name: add_flags
insert into flags (authority, person, plan_type, start_date, local_id, phone_office,
    phone_emergency, nhs_number, birth_date, restricted, sequence, line, active_since, changed_at)
select %(authority)s, person, 'CPP', %(start)s, 'BENCH-' || place, '01632 960 201',
    '01632 960 202', number, '2018-03-04', %(restricted)s, 1, place, %(now)s, %(now)s
from unnest(%(persons)s::text[], %(numbers)s::text[]) with ordinality as given (person, number, place)

-- name: add_looks
-- Eighty of colleagues, one every 12 h, the last of them 25 h ago
insert into accesses (access_id, person, looked_at, organisation, author, author_name, author_person,
    job_role, roles, purpose, unscheduled, interface, request_id, flagged, listed)
select gen_random_uuid(), person, %(now)s::timestamptz - interval '12 hours' * n - interval '13 hours',
    %(hospital)s, 'user:bench-' || n %% 7, 'Bench Colleague', true, 'Nurse', '{clinician}',
    'urgent-care', n %% 2 = 0, 'flags-query', gen_random_uuid()::text, true, true
from unnest(%(persons)s::text[]) as given (person), generate_series(1, 80) as n

-- name: add_visits
insert into visits (visit_id, source_patient, person, hospital, live, state, arrived_at, received_at,
    late, provisional, restricted, department, changed_at, heard_until)
select gen_random_uuid(), 'bench-' || person, person, %(hospital)s, true, 'departed', arrived_at,
    arrived_at, false, false, false, 'ED', arrived_at, arrived_at
from unnest(%(persons)s::text[]) as given (person), generate_series(1, 25) as n,
    lateral (select %(now)s::timestamptz - interval '10 days' * n as arrived_at) as came

-- name: make_rows
-- What the rung "recorded" commits
create table halyard.bench_rows (
    author text not null, at timestamptz not null default now());
grant insert on halyard.bench_rows to halyard_app

-- name: add_row
insert into bench_rows (author) values (%(author)s)

-- name: point
-- The least that a look-up could read
select authority, plan_type, start_date, end_date, restricted, phone_office, phone_emergency
from flags where person = %(person)s

-- name: amounts
select (select count(*) from flags) as flags,
    (select count(*) from accesses where looked_at >= %(since)s) as looks,
    (select count(*) from audit_entries where recorded_at >= %(since)s and body->>'kind' = 'access') as entries

-- name: under_way
select (select count(*) from outbox where published_at is null)
    + (select count(*) from deliveries where state = 'open') as amount
