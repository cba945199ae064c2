-- name: add
insert into releases (
    release_id, reference, state, organisation, sector, title, policy, policy_version, purpose,
    legal_basis, rule, fields, five_safes, requested_at, requested_by
)
values (
    %(release_id)s, %(reference)s, %(state)s, %(organisation)s, %(sector)s, %(title)s, %(policy)s,
    %(policy_version)s, %(purpose)s, %(legal_basis)s, %(rule)s, %(fields)s, %(five_safes)s,
    %(requested_at)s, %(requested_by)s
)

-- name: lock
select release_id from releases where release_id = %(release_id)s for update

-- name: decide
update releases
set state = %(state)s, decided_at = %(at)s, decided_by = %(by)s, decided_reason = %(reason)s
where release_id = %(release_id)s and state = 'held'

-- name: hand
update releases
set state = 'handed', handed_at = %(at)s, rows = %(rows)s, left_out = %(left_out)s,
    fields = %(fields)s, policy_version = %(policy_version)s, rule = %(rule)s,
    five_safes = %(five_safes)s, opt_outs_value = %(opt_outs_value)s,
    opt_outs_reason = %(opt_outs_reason)s, opt_outs_as_at = %(opt_outs_as_at)s
where release_id = %(release_id)s and state = 'released'

-- name: add_file
insert into release_files (release_id, name, rows, bytes, sha256, released_at)
values (%(release_id)s, %(name)s, %(rows)s, %(bytes)s, %(sha256)s, %(released_at)s)

-- name: list
select release_id, reference, state, organisation, sector, title, policy, policy_version, purpose,
    legal_basis, rule, fields, five_safes, requested_at, requested_by, decided_at, decided_by,
    decided_reason, handed_at, rows, left_out, opt_outs_value, opt_outs_reason, opt_outs_as_at
from releases
where %(release_id)s::uuid is null or release_id = %(release_id)s::uuid
order by requested_at, release_id

-- name: files
select release_id, name, rows, bytes, sha256, released_at from release_files
order by released_at, name

-- name: extractable
-- Reviews that count for themselves and are in scope
select case_id, version, content, opened_at, changed_at, person, merged_into
from cases
where state = 'OPEN' and merged_into is null and eligibility = 'IN_SCOPE'
order by case_id

-- name: recorded
-- What was disclosed or refused, each question once with how often; only what `policies.record` wrote
select body ->> 'flow' as flow, coalesce(body -> 'detail' ->> 'recipient', chain) as recipient,
    body -> 'detail' ->> 'sector' as sector, body -> 'detail' ->> 'asked_purpose' as purpose,
    body -> 'detail' ->> 'roles' as roles, body -> 'detail' ->> 'restricted' as restricted,
    body -> 'detail' ->> 'withheld' as withheld, body -> 'fields' as fields,
    body ->> 'decision' as decision, body ->> 'rule' as rule, body ->> 'policy' as policy,
    body ->> 'policy_version' as policy_version,
    date_trunc('day', recorded_at at time zone 'Europe/London') at time zone 'Europe/London' as day,
    count(*) as amount
from audit_entries
where body ? 'flow' and recorded_at >= %(since)s and recorded_at < %(until)s
group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
order by 13, 1, 2

-- name: flow_totals
select body ->> 'policy' as policy, (body ->> 'policy_version')::integer as policy_version,
    body ->> 'flow' as flow, coalesce(body -> 'detail' ->> 'recipient', chain) as recipient,
    body ->> 'decision' as decision, count(*) as amount, min(recorded_at) as first,
    max(recorded_at) as last
from audit_entries
where body ? 'flow' and body ? 'policy'
group by 1, 2, 3, 4, 5
order by 1, 2, 3, 4, 5
