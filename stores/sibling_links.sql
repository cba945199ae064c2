-- name: put_lists
-- Of two statements the later record's holds, whatever the order in which they were verified
insert into sibling_lists as held (authority, person, reported_event_id, sequence, line, stated_at)
select distinct on (authority, person) authority, person, reported_event_id, sequence, line, stated_at
from jsonb_to_recordset(%(rows)s::jsonb) as given (authority text, person text,
    reported_event_id uuid, sequence bigint, line integer, stated_at timestamptz)
where exists (select from identities i where i.person = given.person)
order by authority, person, sequence desc, line desc, reported_event_id
on conflict (authority, person) do update set
    reported_event_id = excluded.reported_event_id,
    sequence = excluded.sequence,
    line = excluded.line,
    stated_at = excluded.stated_at
where (held.sequence, held.line) <= (excluded.sequence, excluded.line)
returning authority, person, reported_event_id

-- name: drop_links
delete from sibling_links as held
using jsonb_to_recordset(%(rows)s::jsonb) as given (authority text, person text, siblings text[])
where held.authority = given.authority and held.person = given.person
    and held.local_id <> all (given.siblings)

-- name: put_links
insert into sibling_links (authority, person, local_id)
select authority, person, local_id
from jsonb_to_recordset(%(rows)s::jsonb) as given (authority text, person text, siblings text[]),
    unnest(given.siblings) as local_id
order by authority, person, local_id
on conflict do nothing

-- name: resolve
-- Whom a stated id names: the one person whom records of the same authority name by it
update sibling_links as held set sibling = found.person
from (
    select i.organisation, i.value, min(i.person) as person
    from jsonb_to_recordset(%(wanted)s::jsonb) as given (authority text, local_id text)
    join person_identifiers i
        on i.organisation = given.authority and i.value = given.local_id and i.scheme = %(scheme)s
    group by i.organisation, i.value
    having count(distinct i.person) = 1
) found
where held.sibling is null and held.authority = found.organisation
    and held.local_id = found.value and held.person <> found.person

-- name: resolve_all
update sibling_links as held set sibling = found.person
from (
    select l.authority, l.local_id, min(i.person) as person
    from sibling_links l
    join person_identifiers i
        on i.organisation = l.authority and i.value = l.local_id and i.scheme = %(scheme)s
    where l.sibling is null
    group by l.authority, l.local_id
    having count(distinct i.person) = 1
) found
where held.sibling is null and held.authority = found.authority
    and held.local_id = found.local_id and held.person <> found.person

-- name: take_back
delete from sibling_lists as held
using jsonb_to_recordset(%(rows)s::jsonb) as given (person text, event_id uuid)
where held.person = given.person and held.reported_event_id = given.event_id

-- name: unname
-- An id that no record names this person by any more names nobody. What was stated by it ends: it may
-- be taken back because the number was invalidated, and then must not wait for who comes after
delete from sibling_links as held
where held.sibling = any(%(persons)s::text[])
    and not exists (
        select from person_identifiers i
        where i.person = held.sibling and i.organisation = held.authority
            and i.scheme = %(scheme)s and i.value = held.local_id)

-- name: forget
delete from sibling_links as held
using jsonb_to_recordset(%(wanted)s::jsonb) as given (authority text, local_id text)
where held.authority = given.authority and held.local_id = given.local_id

-- name: move_siblings
update sibling_links set sibling = %(to)s
where sibling = %(person)s and exists (select from identities i where i.person = %(to)s)

-- name: move_lists
insert into sibling_lists (authority, person, reported_event_id, sequence, line, stated_at)
select authority, %(to)s, reported_event_id, sequence, line, stated_at
from sibling_lists where person = %(person)s
    and exists (select from identities i where i.person = %(to)s)
on conflict do nothing

-- name: move_links
insert into sibling_links (authority, person, local_id, sibling)
select l.authority, %(to)s, l.local_id, l.sibling
from sibling_links l
join sibling_lists o on o.authority = l.authority and o.person = l.person
join sibling_lists n on n.authority = l.authority and n.person = %(to)s
    and n.reported_event_id = o.reported_event_id
where l.person = %(person)s and l.sibling is distinct from %(to)s
on conflict do nothing

-- name: drop_person
delete from sibling_lists where person = %(person)s

-- name: of_person
select local_id, sibling from sibling_links
where authority = %(authority)s and person = %(person)s
order by local_id
