-- name: rows
select case_id, version, content, opened_at, changed_at, person, merged_into
from cases where case_id = any(%(case_ids)s::uuid[])

-- name: trees
-- Up to the roots, then down again: whole trees. `union` ends the walk should there ever be a circle
with recursive
    up (case_id, merged_into) as (
        select case_id, merged_into from cases where case_id = any(%(case_ids)s::uuid[])
        union
        select c.case_id, c.merged_into from cases c join up on c.case_id = up.merged_into
    ),
    down (case_id) as (
        select case_id from up where merged_into is null
        union
        select c.case_id from cases c join down on c.merged_into = down.case_id
    )
select case_id, merged_into, voided_by_person, assigned_panel, assigned_reason, assigned_by,
    assigned_at
from cases where case_id in (select case_id from down)

-- name: of_person
select case_id, version, content, opened_at, changed_at, person, merged_into
from cases where person = %(person)s
order by state <> 'OPEN', merged_into is not null, opened_at, case_id

-- name: ids_of_persons
select person, case_id
from cases where person = any(%(persons)s::text[])
order by person, state <> 'OPEN', merged_into is not null, opened_at, case_id

-- name: page
select case_id, version, state, eligibility, panel, needs, opened_at, changed_at, merged_into
from cases
where (%(after_at)s::timestamptz is null
        or (opened_at, case_id) > (%(after_at)s::timestamptz, %(after_id)s::uuid))
    and (%(states)s::text[] is null or state = any(%(states)s::text[]))
    and (%(needs)s::text is null or %(needs)s = any(needs))
    and (%(panel)s::text is null or panel = %(panel)s)
order by opened_at, case_id
limit %(limit)s

-- name: count
select count(*) as amount
from cases
where (%(states)s::text[] is null or state = any(%(states)s::text[]))
    and (%(needs)s::text is null or %(needs)s = any(needs))
    and (%(panel)s::text is null or panel = %(panel)s)

-- name: history
select content from case_events where case_id = %(case_id)s order by version

-- name: append
insert into case_events (
    case_id, version, event_id, change, rule, cause, by, changed_at, content, panel, informed
)
values (
    %(case_id)s, %(version)s, %(event_id)s, %(change)s, %(rule)s, %(cause)s, %(by)s,
    %(changed_at)s, %(content)s, %(panel)s, %(informed)s
)

-- name: save
insert into cases (
    case_id, person, state, version, content, opened_at, changed_at, panel, eligibility, needs
)
values (
    %(case_id)s, %(person)s, %(state)s, %(version)s, %(content)s, %(changed_at)s, %(changed_at)s,
    %(panel)s, %(eligibility)s, %(needs)s
)
on conflict (case_id) do update set
    person = excluded.person, state = excluded.state, version = excluded.version,
    content = excluded.content, changed_at = excluded.changed_at, panel = excluded.panel,
    eligibility = excluded.eligibility, needs = excluded.needs

-- name: set_persons
update cases set person = given.person
from unnest(%(case_ids)s::uuid[], %(persons)s::text[]) as given (case_id, person)
where cases.case_id = given.case_id and cases.person is distinct from given.person

-- name: decide
update cases
set merged_into = %(merged_into)s, voided_by_person = %(voided)s, assigned_panel = %(panel)s,
    assigned_reason = %(reason)s, assigned_by = %(by)s, assigned_at = %(at)s
where case_id = %(case_id)s
