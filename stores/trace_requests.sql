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
update trace_requests set state = 'cancelled', claim = '{}', lease_until = null, done_at = now(),
    answered = array(select said from unnest(answered) with ordinality as given (said, at)
        where said not like 'word %%' order by at)
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
    state, attempts, purpose, answered, now() as leased_at

-- name: again
update trace_requests set state = 'queued', lease_until = null,
    due_at = now() + make_interval(secs => %(seconds)s)
where trace_id = %(trace_id)s and state = 'leased'
    and (%(attempts)s::integer is null or attempts = %(attempts)s)

-- name: unreadable
update trace_requests set unreadable = unreadable + 1 where trace_id = %(trace_id)s
returning unreadable

-- name: renew
update trace_requests set lease_until = now() + make_interval(secs => %(lease_seconds)s)
where trace_id = %(trace_id)s and state = 'leased' and attempts = %(attempts)s

-- name: hold
select trace_id, fingerprint, token, kind, priority, claim, organisation, request_ids, state, attempts, purpose, answered
from trace_requests where trace_id = %(trace_id)s and state = 'leased' and attempts = %(attempts)s
for update

-- name: put_back
update trace_requests set state = 'queued', lease_until = null,
    due_at = now() + make_interval(secs => %(seconds)s),
    answered = array_cat(answered, case when %(mark)s::text is null then '{}' else array[%(mark)s::text] end)
where trace_id = %(trace_id)s and state = 'leased'

-- name: asking
select distinct token from trace_requests
where token = any(%(tokens)s::text[]) and state = 'leased' and kind = 'get'
    and purpose in ('claims', 'resolution')

-- name: word
-- Kept with the searches of this moment, which may be about to name them; it goes with their end
update trace_requests set answered = array_cat(answered, %(marks)s::text[])
where trace_id in (
    select trace_id from trace_requests
    where state = 'leased' and kind = 'search' and purpose in ('claims', 'resolution')
    order by trace_id for update)

-- name: finish
update trace_requests set state = 'done', outcome = %(outcome)s, claim = '{}', lease_until = null, done_at = now(),
    answered = array(select said from unnest(answered) with ordinality as given (said, at)
        where said not like 'word %%' order by at)
where trace_id = %(trace_id)s

-- name: waiting
select priority, count(*) as amount from trace_requests where state in ('queued', 'leased') group by priority

-- name: purge
delete from trace_requests where state in ('done', 'cancelled') and done_at < %(before)s

-- name: progress
update trace_requests set answered = answered || %(text)s::text
where trace_id = %(trace_id)s and state = 'leased' and attempts = %(attempts)s

-- name: refill
update pds_ration set refilled_at = clock_timestamp(), tokens = least(%(burst)s::double precision,
    tokens + %(rate)s::double precision * pace
        * greatest(0, extract(epoch from clock_timestamp() - refilled_at))::double precision)
returning tokens, failures, coalesce(greatest(breaker_until, paused_until) > clock_timestamp(), false) as open,
    coalesce(paused_until > clock_timestamp(), false) as paused

-- name: spend
update pds_ration set tokens = tokens - %(amount)s

-- name: probe
update pds_ration set breaker_until = clock_timestamp() + make_interval(secs => %(seconds)s)

-- name: failed
update pds_ration set failures = failures + %(weight)s, breaker_until = case
    when failures + %(weight)s >= %(limit)s then clock_timestamp() + make_interval(secs => %(seconds)s)
    else breaker_until end

-- name: slower
-- All calls of one moment are refused together: they count once. Below the floor it is no better than no answer
update pds_ration set
    pace = case when fresh then greatest(least(pace, %(floor)s), pace / 2) else pace end,
    failures = failures + case when fresh and pace <= %(floor)s then 1 else 0 end,
    breaker_until = case
        when fresh and pace <= %(floor)s and failures + 1 >= %(limit)s
        then clock_timestamp() + make_interval(secs => %(seconds)s)
        else breaker_until end,
    slowed_at = case when fresh then clock_timestamp() else slowed_at end,
    paused_until = greatest(paused_until, clock_timestamp() + make_interval(secs => %(pause)s)),
    tokens = least(tokens, 0)
from (select coalesce(slowed_at < clock_timestamp() - interval '1 second', true) as fresh from pds_ration
    for update) as lately
returning pace

-- name: answered
update pds_ration set failures = 0, breaker_until = null, pace = least(1, pace + %(step)s::double precision)
where failures <> 0 or breaker_until is not null or pace < 1

-- name: ration
select pace, coalesce(breaker_until > clock_timestamp(), false) as open from pds_ration
