-- name: of_tokens
select p.* from death_prompts p
where p.prompt_id in (
    select prompt_id from death_prompt_tokens where token = any(%(tokens)s::text[])
)
order by p.opened_at, p.prompt_id

-- name: notified
select case_id from death_notified_tokens where token = any(%(tokens)s::text[])
order by case_id limit 1

-- name: save
insert into death_prompts (
    prompt_id, person, source, indication, rule, organisation, state, event_id, opened_at,
    changed_at, case_id, indicated_at
)
values (
    %(prompt_id)s, %(person)s, %(source)s, %(indication)s, %(rule)s, %(organisation)s, %(state)s,
    %(event_id)s, %(opened_at)s, %(changed_at)s, %(case_id)s, %(indicated_at)s
)
on conflict (prompt_id) do update set
    person = excluded.person, indication = excluded.indication, rule = excluded.rule,
    organisation = excluded.organisation, state = excluded.state, event_id = excluded.event_id,
    opened_at = excluded.opened_at, changed_at = excluded.changed_at, case_id = excluded.case_id,
    indicated_at = excluded.indicated_at

-- name: save_tokens
insert into death_prompt_tokens (token, prompt_id)
select token, %(prompt_id)s from unnest(%(tokens)s::text[]) as given (token)
on conflict do nothing

-- name: forget
delete from death_notified_tokens where case_id = any(%(case_ids)s::uuid[])

-- name: remember
insert into death_notified_tokens (token, case_id)
select * from unnest(%(tokens)s::text[], %(case_ids)s::uuid[])
on conflict do nothing

-- name: answer
update death_prompts p set state = 'answered', changed_at = %(at)s, case_id = answered.case_id
from (
    select t.prompt_id, min(given.case_id::text)::uuid as case_id
    from unnest(%(tokens)s::text[], %(case_ids)s::uuid[]) as given (token, case_id)
    join death_prompt_tokens t on t.token = given.token
    group by t.prompt_id
) as answered
where p.prompt_id = answered.prompt_id and p.state = 'open'

-- name: reopen
update death_prompts p
set state = case when still.case_id is null then 'open' else 'answered' end,
    case_id = still.case_id, changed_at = %(at)s
from (
    select q.prompt_id,
        (select n.case_id
         from death_prompt_tokens t join death_notified_tokens n on n.token = t.token
         where t.prompt_id = q.prompt_id
         order by n.case_id <> q.case_id, n.case_id
         limit 1) as case_id
    from death_prompts q
    where q.state = 'answered' and q.case_id = any(%(case_ids)s::uuid[])
) as still
where p.prompt_id = still.prompt_id and p.case_id is distinct from still.case_id

-- name: purge
delete from death_prompts
where prompt_id in (
    select prompt_id from death_prompts
    where state <> 'open' and changed_at < %(before)s
    order by changed_at
    limit %(limit)s
    for update skip locked
)

-- name: count
select count(*) as amount from death_prompts where state = 'open' or %(all)s

-- name: page
select * from death_prompts
where state = 'open' or %(all)s
order by opened_at desc, prompt_id limit %(limit)s
