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
