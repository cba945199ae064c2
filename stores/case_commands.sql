-- name: add
insert into case_commands (command_id, kind, case_id, other, panel, by, reason, decided_at)
values (%(command_id)s, %(kind)s, %(case_id)s, %(other)s, %(panel)s, %(by)s, %(reason)s,
    %(decided_at)s)
on conflict (command_id) do nothing

-- name: of_case
select * from case_commands where case_id = %(case_id)s or other = %(case_id)s
order by decided_at, command_id

-- name: recipients
-- Answers to a sender's own message tell nothing of a case
select distinct organisation from letters
where case_id = any(%(case_ids)s::uuid[]) and kind not in ('acknowledgement', 'rejection')
union
select organisation from letters_gone
where case_id = any(%(case_ids)s::uuid[]) and kind not in ('acknowledgement', 'rejection')

-- name: told
select case_id, organisation, kind, round, person, told_at, withdrawn_at from case_told
where case_id = any(%(case_ids)s::uuid[])
order by case_id, organisation, kind

-- name: save_told
insert into case_told (case_id, organisation, kind, round, person, told_at, withdrawn_at)
values (%(case_id)s, %(organisation)s, %(kind)s, %(round)s, %(person)s, %(told_at)s,
    %(withdrawn_at)s)
on conflict (case_id, organisation, kind) do update set
    round = excluded.round, person = excluded.person, told_at = excluded.told_at,
    withdrawn_at = excluded.withdrawn_at

-- name: panels
select distinct had.panel
from case_events e cross join lateral unnest(array_append(e.informed, e.panel)) as had (panel)
where e.case_id = any(%(case_ids)s::uuid[]) and had.panel is not null

-- name: agencies
select distinct agency from report_requests
where case_id = any(%(case_ids)s::uuid[]) and agency <> ''

-- name: ids
select case_id from cases
where case_id > %(after)s order by case_id limit %(limit)s

-- name: content
select case_id, content from cases where case_id = any(%(case_ids)s::uuid[]) order by case_id
