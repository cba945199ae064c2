-- name: add
insert into deliveries (
    delivery_id, destination, alert_id, version, round, kind, body, due_at, event_id, traceparent
)
values (
    %(delivery_id)s, %(destination)s, %(alert_id)s, %(version)s, %(round)s, %(kind)s, %(body)s,
    %(due_at)s, %(event_id)s, %(traceparent)s
)

-- name: drop_unsent
-- What a now restricted alert still had to send to anyone but the contact for restricted people
update deliveries
set state = 'superseded', done_at = %(at)s, lease_until = null
where state = 'open' and alert_id = any(%(alert_ids)s::uuid[])

-- name: supersede
-- Rows that a dispatcher has locked are its own business: waiting for it could deadlock
update deliveries
set state = 'superseded', done_at = now(), lease_until = null
where delivery_id in (
    select d.delivery_id
    from deliveries d
    join unnest(%(destinations)s::text[], %(alert_ids)s::uuid[], %(kinds)s::text[])
        as newer (destination, alert_id, kind) using (destination, alert_id, kind)
    where d.state = 'open' and (d.lease_until is null or d.lease_until < now())
    for update of d skip locked
)

-- name: hint
select pg_notify('halyard_deliveries', '')
