-- name: begin
insert into trace_batches (batch_id, organisation, kind, purpose, reason, made_by, made_by_name)
values (%(batch_id)s, %(organisation)s, %(kind)s, %(purpose)s, %(reason)s, %(made_by)s, %(made_by_name)s)

-- name: open_batches
select count(*) as amount from trace_batches
where organisation = %(organisation)s and kind = 'file' and state = %(state)s

-- name: persons_since
select count(*) as amount, min(made_at) as oldest from trace_batches
where organisation = %(organisation)s and kind = 'person' and made_at > %(since)s

-- name: add
insert into trace_items (batch_id, line, state, question, number_token, details, local_id, claim, outcome,
    rule, place, number_rule)
select %(batch_id)s, line, state, question, number_token, details, local_id, coalesce(claim, '{}'), outcome,
    rule, place, number_rule
from jsonb_to_recordset(%(items)s) as given (line integer, state text, question text, number_token text,
    details text, local_id text, claim jsonb, outcome text, rule text, place text,
    number_rule text)

-- name: same_file
select batch_id from trace_batches
where organisation = %(organisation)s and digest = %(digest)s and kind = 'file'
    and state in ('running', 'done') and emptied_at is null and batch_id <> %(batch_id)s

-- name: drop
update trace_batches set state = 'dropped' where batch_id = %(batch_id)s and state = 'loading'

-- name: start
update trace_batches set state = case when %(lines)s = 0 then 'done' else 'running' end,
    done_at = case when %(lines)s = 0 then now() end,
    digest = %(digest)s, lines = %(lines)s, refused = %(refused)s,
    counts = case when %(refused)s > 0 then jsonb_build_object('refused', %(refused)s::integer)
        else '{}'::jsonb end
where batch_id = %(batch_id)s and state = 'loading'

-- name: get
select batch_id, organisation, kind, state, purpose, reason, made_by, made_by_name, made_at, lines,
    refused, answered, counts, done_at, emptied_at
from trace_batches where batch_id = %(batch_id)s and state <> 'dropped'

-- name: page
select batch_id, organisation, kind, state, purpose, reason, made_by, made_by_name, made_at, lines,
    refused, answered, counts, done_at, emptied_at
from trace_batches
where (%(organisation)s::text is null or organisation = %(organisation)s) and kind = 'file'
    and state <> 'dropped'
    and (made_at, batch_id) < (%(at)s::timestamptz, %(id)s::uuid)
order by made_at desc, batch_id desc
limit %(limit)s

-- name: reasons
select outcome, rule, count(*) as amount from trace_items
where batch_id = %(batch_id)s and outcome is not null
group by outcome, rule order by count(*) desc, outcome, rule

-- name: unusable_numbers
select number_rule, count(*) as amount from trace_items
where batch_id = %(batch_id)s and number_rule is not null
group by number_rule order by count(*) desc, number_rule

-- name: results
select line, state, local_id, outcome, rule, place, nhs_number, person, number_token, number_rule, restricted,
    fields, answered_at
from trace_items
where batch_id = %(batch_id)s and line > %(after)s
order by line
limit %(limit)s

-- name: cancel
update trace_batches set state = 'cancelled', done_at = now()
where batch_id = %(batch_id)s and state in ('loading', 'running', 'done')

-- name: untraced
select line, claim from trace_items
where batch_id = %(batch_id)s and line > %(after)s and state = 'done'
    and outcome in ('no-match', 'too-many', 'potential', 'conflict', 'not-asked') and claim <> '{}'
order by line
limit %(limit)s

-- name: lines_for_update
select line, state, outcome, rule, claim from trace_items
where batch_id = %(batch_id)s and line = any(%(lines)s)
order by line
for update
