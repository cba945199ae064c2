-- name: add
insert into case_indications (
    event_id, revision, person, indication, organisation, indicated_at, died_at
)
values (
    %(event_id)s, %(revision)s, %(person)s, %(indication)s, %(organisation)s, %(at)s, %(died_at)s
)
on conflict (event_id) do update set
    revision = excluded.revision, person = excluded.person, died_at = excluded.died_at
where case_indications.revision < excluded.revision

-- name: of_event
select revision, person from case_indications where event_id = %(event_id)s

-- name: of_persons
select person, indication, organisation, indicated_at, died_at
from case_indications where person = any(%(persons)s::text[])
order by person, indicated_at, event_id
