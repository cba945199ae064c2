-- name: add
insert into person_identifiers as held (person, organisation, scheme, value, assigner, stated_at, events)
select person, organisation, scheme, value, assigner, min(stated_at),
    (array_agg(event_id order by stated_at, event_id))[1:%(events)s]
from jsonb_to_recordset(%(rows)s::jsonb) as given (person text, organisation text, scheme text,
    value text, assigner text, stated_at timestamptz, event_id uuid)
where exists (select from identities i where i.person = given.person)
group by person, organisation, scheme, value, assigner
order by person, organisation, scheme, value, assigner
on conflict (person, organisation, scheme, value, assigner) do update set
    events = (held.events || array(
        select one from unnest(excluded.events) as one where one <> all (held.events)))[1:%(events)s]
where cardinality(held.events) < %(events)s and not held.events @> excluded.events

-- name: trim
-- A sender who says something else each time fills no table; what it said last is kept
delete from person_identifiers as held
using (
    select p.person, p.organisation, p.scheme, p.value, p.assigner,
        row_number() over (partition by p.person, p.organisation
            order by p.stated_at desc, p.scheme, p.value, p.assigner) as place
    from person_identifiers p
    where (p.person, p.organisation) in (
        select person, organisation from jsonb_to_recordset(%(rows)s::jsonb) as given (person text, organisation text))
) as ranked
where ranked.place > %(most)s and held.person = ranked.person and held.organisation = ranked.organisation
    and held.scheme = ranked.scheme and held.value = ranked.value and held.assigner = ranked.assigner

-- name: take_back
with gone as (
    select person, array_agg(event_id) as events
    from jsonb_to_recordset(%(rows)s::jsonb) as given (person text, event_id uuid)
    group by person
)
update person_identifiers as held set events = array(
    select one from unnest(held.events) as one where one <> all (gone.events))
from gone
where held.person = gone.person and held.events && gone.events

-- name: drop_unstated
delete from person_identifiers where person = any(%(persons)s::text[]) and events = '{}'

-- name: move
-- Nothing is lost where both have the same one
insert into person_identifiers as held (person, organisation, scheme, value, assigner, stated_at, events)
select %(to)s, organisation, scheme, value, assigner, stated_at, events
from person_identifiers where person = %(person)s
    and exists (select from identities i where i.person = %(to)s)
order by organisation, scheme, value, assigner
on conflict (person, organisation, scheme, value, assigner) do update set
    stated_at = least(held.stated_at, excluded.stated_at),
    events = (held.events || array(
        select one from unnest(excluded.events) as one where one <> all (held.events)))[1:%(events)s]

-- name: drop
delete from person_identifiers where person = %(person)s

-- name: of_person
select scheme, value, assigner, organisation, stated_at, events
from person_identifiers where person = %(person)s
order by organisation, scheme, value, assigner
