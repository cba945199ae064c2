-- name: load
select trace_id, fingerprint, token, kind, priority, claim, organisation, request_ids, state, attempts, purpose, answered
from trace_requests
where trace_id = any(%(ids)s::uuid[])
union
select trace_id, fingerprint, token, kind, priority, claim, organisation, request_ids, state, attempts, purpose, answered
from trace_requests
where fingerprint = any(%(fingerprints)s::text[]) and state in ('queued', 'leased')

-- name: add
insert into trace_requests (trace_id, fingerprint, token, kind, priority, claim, organisation, request_ids,
    purpose)
values (%(trace_id)s, %(fingerprint)s, %(token)s, %(kind)s, %(priority)s, %(claim)s, %(organisation)s,
    %(request_ids)s, %(purpose)s)

-- name: raise
update trace_requests set priority = given.priority
from unnest(%(ids)s::uuid[], %(priorities)s::smallint[]) as given (id, priority)
where trace_id = given.id and trace_requests.priority > given.priority

-- name: cancel_orphans
update trace_requests set state = 'cancelled', claim = '{}', lease_until = null, done_at = now()
where trace_id = any(%(ids)s::uuid[]) and state in ('queued', 'leased')
    and not exists (select from parked_keys where parked_keys.trace_id = trace_requests.trace_id)

-- name: due
select exists (select from trace_requests
    where (state = 'queued' and due_at <= now()) or (state = 'leased' and lease_until < now())) as due

-- name: lease
with chosen as (
    select trace_id from trace_requests
    where (state = 'queued' and due_at <= now()) or (state = 'leased' and lease_until < now())
    order by priority, created_at
    limit %(limit)s
    for update skip locked
)
update trace_requests set state = 'leased', attempts = attempts + 1,
    lease_until = now() + make_interval(secs => %(lease_seconds)s)
from chosen
where trace_requests.trace_id = chosen.trace_id
returning trace_requests.trace_id, fingerprint, token, kind, priority, claim, organisation, request_ids,
    state, attempts, purpose, answered

-- name: again
update trace_requests set state = 'queued', lease_until = null,
    due_at = now() + make_interval(secs => %(seconds)s)
where trace_id = %(trace_id)s and state = 'leased'

-- name: unreadable
update trace_requests set unreadable = unreadable + 1 where trace_id = %(trace_id)s
returning unreadable

-- name: renew
update trace_requests set lease_until = now() + make_interval(secs => %(lease_seconds)s)
where trace_id = %(trace_id)s and state = 'leased' and attempts = %(attempts)s

-- name: hold
select trace_id, fingerprint, token, kind, priority, claim, organisation, request_ids, state, attempts, purpose, answered
from trace_requests where trace_id = %(trace_id)s and state = 'leased'
for update

-- name: finish
update trace_requests set state = 'done', outcome = %(outcome)s, claim = '{}', lease_until = null, done_at = now()
where trace_id = %(trace_id)s

-- name: waiting
select priority, count(*) as amount from trace_requests where state in ('queued', 'leased') group by priority

-- name: purge
delete from trace_requests where state in ('done', 'cancelled') and done_at < %(before)s

-- name: refill
update pds_ration set refilled_at = clock_timestamp(), tokens = least(%(burst)s::double precision,
    tokens + %(rate)s::double precision
        * greatest(0, extract(epoch from clock_timestamp() - refilled_at))::double precision)
returning tokens, failures, coalesce(breaker_until > clock_timestamp(), false) as open

-- name: spend
update pds_ration set tokens = tokens - %(amount)s

-- name: probe
update pds_ration set breaker_until = clock_timestamp() + make_interval(secs => %(seconds)s)

-- name: failed
update pds_ration set failures = failures + %(weight)s, breaker_until = case
    when failures + %(weight)s >= %(limit)s then clock_timestamp() + make_interval(secs => %(seconds)s)
    else breaker_until end

-- name: answered
update pds_ration set failures = 0, breaker_until = null where failures <> 0 or breaker_until is not null
