-- name: not_durable
-- A lease that a crash of PostgreSQL forgets is taken again: a repeat, and no wait for the disk
set local synchronous_commit = off

-- name: take_probes
-- Half-open: a pause that is over lets one row through to try the destination. Holding the pause
-- for the length of a lease keeps every other dispatcher away until the probe is done.
-- After two failures without an answer between them the destination itself is in question (one
-- may be a single row that its receiver cannot digest), and the probe does not wait for a row's
-- own back-off.
update breakers set open_until = now() + make_interval(secs => %(lease)s)
where destination in (
    select b.destination from breakers b
    where b.open_until <= now()
      and exists (
        select 1 from deliveries d
        where d.destination = b.destination and d.state = 'open'
          and (d.due_at <= now() or b.failures > 1)
          and (d.lease_until is null or d.lease_until < now())
      )
    for update skip locked
)
returning destination, failures

-- name: drop_probes
update breakers set open_until = now() where destination = any(%(destinations)s::text[])

-- name: claim
-- The destinations with anything open are found by skipping through the index, so that a long
-- queue of one destination costs the others nothing.
with recursive waiting (destination) as (
    (select d.destination from deliveries d where d.state = 'open' order by d.destination limit 1)
    union all
    select (
        select d.destination from deliveries d
        where d.state = 'open' and d.destination > w.destination
        order by d.destination limit 1
    )
    from waiting w
    where w.destination is not null
),
able as (
    select w.destination,
           coalesce(p.failures > 1, false) as outage,
           case when p.destination is not null then 1
                else greatest(%(share)s - coalesce(busy.amount, 0), 0) end as room
    from waiting w
    left join unnest(%(probes)s::text[], %(failures)s::integer[]) as p (destination, failures)
        on p.destination = w.destination
    left join unnest(%(busy)s::text[], %(amounts)s::integer[]) as busy (destination, amount)
        on busy.destination = w.destination
    where w.destination is not null
      and (p.destination is not null
           or not exists (select 1 from breakers b where b.destination = w.destination))
),
candidate as (
    select c.delivery_id, c.stale
    from able a
    cross join lateral (
        select d.delivery_id,
               -- snapshots of a state: only the newest is worth sending; receipts are facts
               d.kind in ('alert', 'match') and exists (
                   select 1 from deliveries newer
                   where newer.destination = d.destination and newer.alert_id = d.alert_id
                     and newer.kind = d.kind and newer.position > d.position
                     and newer.state = 'open'
               ) as stale
        from deliveries d
        where d.destination = a.destination and d.state = 'open'
          and (d.due_at <= now() or a.outage or (
              -- a snapshot that backs off makes way as soon as a newer one is due; nothing is
              -- ever sent to a destination that is not registered, so there it need not
              d.kind in ('alert', 'match') and d.destination not like 'none%%:%%' and exists (
                  select 1 from deliveries due
                  where due.destination = d.destination and due.alert_id = d.alert_id
                    and due.kind = d.kind and due.position > d.position
                    and due.state = 'open' and due.due_at <= now()
              )
          ))
          and (d.lease_until is null or d.lease_until < now())
          and d.delivery_id <> all(%(held)s::uuid[])
          -- order inside one alert: only its oldest open row
          and not exists (
              select 1 from deliveries older
              where older.destination = d.destination and older.alert_id = d.alert_id
                and older.position < d.position and older.state = 'open'
          )
        order by d.due_at, d.position
        limit a.room
        for update of d skip locked
    ) as c
    limit %(room)s
)
update deliveries d
set state = case when c.stale then 'superseded' else d.state end,
    done_at = case when c.stale then now() end,
    lease_until = case when c.stale then null else now() + make_interval(secs => %(lease)s) end,
    attempts = d.attempts + case when c.stale then 0 else 1 end
from candidate c
where d.delivery_id = c.delivery_id
returning d.delivery_id, d.destination, d.alert_id, d.version, d.round, d.kind, d.body, d.attempts,
          d.event_id, d.traceparent, d.state, d.position, d.recipient, d.person, d.restricted,
          restricted_since(d) as now_restricted,
          d.released_at is not null as released

-- name: delivered
-- Whoever got the receiver's yes may say so, also after its lease: it is true.
update deliveries d
set state = 'delivered', done_at = now(), lease_until = null, last_error = null
where d.delivery_id = %(id)s and d.state = 'open'
returning exists (
    select 1 from deliveries later
    where later.destination = d.destination and later.alert_id = d.alert_id
      and later.position > d.position and later.state = 'open'
) as more

-- name: again
-- Only by the attempt that holds the lease: a later one may be under way.
update deliveries
set lease_until = null, last_error = %(reason)s, due_at = now() + make_interval(secs => %(seconds)s)
where delivery_id = %(id)s and state = 'open' and attempts = %(attempts)s

-- name: park
update deliveries d
set state = 'parked', done_at = now(), lease_until = null, last_error = %(reason)s
where d.delivery_id = %(id)s and d.state = 'open' and d.attempts = %(attempts)s
returning exists (
    select 1 from deliveries later
    where later.destination = d.destination and later.alert_id = d.alert_id
      and later.position > d.position and later.state = 'open'
) as more

-- name: keep_back
-- Stopped by a policy as it was about to leave; its body stays, for a release. A snapshot that a
-- newer one has overtaken is over
update deliveries d
set state = case when delivery_overtaken(d.delivery_id) then 'superseded' else %(state)s end,
    done_at = now(), lease_until = null, last_error = %(reason)s
where d.delivery_id = %(id)s and d.state = 'open' and d.attempts = %(attempts)s
returning exists (
    select 1 from deliveries later
    where later.destination = d.destination and later.alert_id = d.alert_id
      and later.position > d.position and later.state = 'open'
) as more

-- name: pause
insert into breakers (destination, failures, open_until)
values (%(destination)s, %(failures)s, now() + make_interval(secs => %(seconds)s))
on conflict (destination) do update
set failures = breakers.failures + excluded.failures,
    open_until = excluded.open_until

-- name: resume
delete from breakers where destination = %(destination)s returning failures

-- name: bring_forward
update deliveries set due_at = now()
where destination = %(destination)s and state = 'open' and lease_until is null and due_at > now()

-- name: paused
select destination from breakers order by destination

-- name: oldest
select coalesce(extract(epoch from now() - min(created_at)), 0) as seconds
from deliveries where state = 'open'

-- name: waiting_for_a_person
select (select count(*) from deliveries where state = 'parked') as parked,
       (select count(*) from deliveries
        where state = 'open' and destination like 'none%:%') as unaddressed

-- name: readdress
update deliveries d
set destination = registered.after, due_at = now()
from unnest(%(before)s::text[], %(after)s::text[]) as registered (before, after)
where d.destination = registered.before and d.state = 'open'

-- name: unsent
select d.destination, d.delivery_id, d.alert_id, d.version, d.kind, d.state, d.attempts,
       d.last_error, d.created_at, d.due_at, b.destination is not null as paused
from deliveries d
left join breakers b on b.destination = d.destination
where d.state in ('open', 'parked')
  and (%(destination)s::text is null or d.destination = %(destination)s)
order by d.state = 'open', d.destination, d.position
limit %(limit)s

-- name: redrive
-- A parked row was overtaken if a later one of its alert and kind left, or is to leave, anywhere:
-- after a change of endpoint, or of restriction, that is another destination. Later ones parked at
-- the same destination are no obstacle: opened together, the newest supersedes the others. Nor are
-- those that are kept back: somebody must hear.
with parked as (
    select d.delivery_id,
           d.kind in ('alert', 'match') and exists (
               select 1 from deliveries later
               where later.alert_id = d.alert_id and later.kind = d.kind
                 and later.position > d.position
                 and (later.state in ('open', 'delivered')
                      or later.state = 'parked' and later.destination <> d.destination
                      or later.restricted and not d.restricted)
           )
           or d.kind in ('match', 'receipt') and (
               restricted_since(d)
               or exists (select from alerts a where a.alert_id = d.alert_id and a.restricted)
           ) as overtaken
    from deliveries d
    where d.state = 'parked'
      and (d.delivery_id = %(id)s::uuid or d.destination = %(destination)s::text)
    for update of d
)
update deliveries d
set state = case when p.overtaken then 'superseded' else 'open' end,
    done_at = case when p.overtaken then now() end,
    due_at = now(), lease_until = null, last_error = %(reason)s
from parked p
where d.delivery_id = p.delivery_id
returning d.delivery_id, d.state

-- name: hint
select pg_notify('halyard_deliveries', '')

-- name: of_alert
select delivery_id, destination, version, kind, state, attempts, last_error, created_at, done_at
from deliveries where alert_id = %(alert_id)s
order by position
