-- name: drop_tokens
delete from case_tokens where case_id = any(%(case_ids)s::uuid[])

-- name: add_tokens
insert into case_tokens (token, case_id)
select token, case_id from unnest(%(tokens)s::text[], %(case_ids)s::uuid[]) as given (token, case_id)
on conflict do nothing

-- name: candidates
select given.token, found.case_id
from unnest(%(tokens)s::text[]) as given (token)
cross join lateral (
    select t.case_id from case_tokens t where t.token = given.token
    order by t.case_id limit %(limit)s
) as found

-- name: of_cases
select one, other, score, rule, agreements, differences, state, proposed_at, changed_at,
    decided_by, decided_reason, decided_at
from case_proposals
where one = any(%(case_ids)s::uuid[])
union
select one, other, score, rule, agreements, differences, state, proposed_at, changed_at,
    decided_by, decided_reason, decided_at
from case_proposals
where other = any(%(case_ids)s::uuid[])

-- name: open
select one, other, score, rule, agreements, differences, state, proposed_at, changed_at,
    decided_by, decided_reason, decided_at
from case_proposals
where state = 'proposed' and (%(after)s::timestamptz is null or proposed_at > %(after)s)
order by proposed_at, one, other
limit %(limit)s

-- name: count_open
select count(*) as amount from case_proposals where state = 'proposed'

-- name: save
insert into case_proposals (
    one, other, score, rule, agreements, differences, state, proposed_at, changed_at,
    decided_by, decided_reason, decided_at
)
values (
    %(one)s, %(other)s, %(score)s, %(rule)s, %(agreements)s, %(differences)s, %(state)s,
    %(proposed_at)s, %(changed_at)s, %(decided_by)s, %(decided_reason)s, %(decided_at)s
)
on conflict (one, other) do update set
    score = excluded.score, rule = excluded.rule, agreements = excluded.agreements,
    differences = excluded.differences, state = excluded.state, changed_at = excluded.changed_at,
    decided_by = excluded.decided_by, decided_reason = excluded.decided_reason,
    decided_at = excluded.decided_at
