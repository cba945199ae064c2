-- name: add
insert into deliveries (
    delivery_id, destination, alert_id, version, round, kind, body, due_at, event_id, traceparent,
    recipient, reviewer, person, policy, policy_version, restricted, state, last_error
)
values (
    %(delivery_id)s, %(destination)s, %(alert_id)s, %(version)s, %(round)s, %(kind)s, %(body)s,
    %(due_at)s, %(event_id)s, %(traceparent)s, %(recipient)s, %(reviewer)s, %(person)s, %(policy)s,
    %(policy_version)s, %(restricted)s, %(state)s, %(reason)s
)

-- name: drop_unsent
-- What a now restricted alert still had to send to anyone but the contact for restricted people
update deliveries
set state = 'superseded', done_at = %(at)s, lease_until = null
where (state in ('open', 'held', 'parked') or (state = 'refused' and last_error like 'policy:%%'))
    and alert_id = any(%(alert_ids)s::uuid[])

-- name: supersede
-- Rows that a dispatcher has locked are its own business: waiting for it could deadlock
update deliveries
set state = 'superseded', done_at = now(), lease_until = null
where delivery_id in (
    select d.delivery_id
    from deliveries d
    join unnest(%(destinations)s::text[], %(alert_ids)s::uuid[], %(kinds)s::text[], %(open)s::boolean[])
        as newer (destination, alert_id, kind, leaves) using (alert_id, kind)
    -- what is kept back itself takes nothing from what was permitted
    where (newer.leaves and d.state = 'open' and d.destination = newer.destination
            and (d.lease_until is null or d.lease_until < now()))
        -- what was kept back is out of date wherever it would have gone
        or d.state = 'held' or (d.state = 'refused' and d.last_error like 'policy:%%')
    for update of d skip locked
)

-- name: hint
select pg_notify('halyard_deliveries', '')
