-- name: get
select alert_id, recipient, version, letter_id, authority, shared_at, shared_by,
    shared_by_name, state, fields, withheld, policy, policy_version
from alert_shares
where alert_id = %(alert_id)s and recipient = %(recipient)s and version = %(version)s

-- name: add
insert into alert_shares (
    alert_id, recipient, version, letter_id, authority, shared_at, shared_by,
    shared_by_name, state, fields, withheld, policy, policy_version
)
values (
    %(alert_id)s, %(recipient)s, %(version)s, %(letter_id)s, %(authority)s, %(shared_at)s,
    %(shared_by)s, %(shared_by_name)s, %(state)s, %(fields)s::text[], %(withheld)s::text[],
    %(policy)s, %(policy_version)s
)

-- name: standing
select alert_id, recipient, version, letter_id, authority, shared_at, shared_by,
    shared_by_name, state, fields, withheld, policy, policy_version
from alert_shares
where alert_id = any(%(alert_ids)s::uuid[]) and state in ('shared', 'held')
order by alert_id, recipient, version

-- name: of_letter
select alert_id, recipient, version, letter_id, authority, shared_at, shared_by,
    shared_by_name, state, fields, withheld, policy, policy_version
from alert_shares where letter_id = %(letter_id)s

-- name: settle
update alert_shares set state = %(state)s, done_at = %(at)s
where letter_id = any(%(letter_ids)s::uuid[])
