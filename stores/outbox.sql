-- name: add
insert into outbox (lane, topic, key, headers, value, event_id)
select lane, topic, key, headers, value, event_id
from unnest(%(lanes)s::integer[], %(topics)s::text[], %(keys)s::text[], %(values)s::bytea[],
            %(event_ids)s::uuid[]) with ordinality
    as given (lane, topic, key, value, event_id, position)
join jsonb_array_elements(%(headers)s::jsonb) with ordinality as with_it (headers, position)
    using (position)
order by position

-- name: lock_lanes
-- class 0x6f62 keeps lanes apart from every other advisory lock
select pg_advisory_xact_lock(28514, lane) from (select unnest(%(lanes)s::integer[]) as lane order by lane) as wanted

-- name: waiting
select id, lane, topic, key, headers, value, event_id
from outbox
where published_at is null and parked_at is null and lane = any(%(lanes)s::integer[])
order by id
limit %(page)s

-- name: mark
update outbox set published_at = now() where id = any(%(ids)s::bigint[])

-- name: park
update outbox set parked_at = now(), parked_reason = given.reason
from unnest(%(ids)s::bigint[], %(reasons)s::text[]) as given (id, reason)
where outbox.id = given.id

-- name: parked
select id, topic, key, event_id, length(value) as size, parked_reason as reason, created_at,
       parked_at
from outbox where parked_at is not null order by id limit %(limit)s

-- name: count_parked
select count(*) as n from outbox where parked_at is not null

-- name: redrive
update outbox set parked_at = null, parked_reason = null where parked_at is not null

-- name: stale_lanes
select distinct lane from outbox
where published_at is null and parked_at is null
    and created_at < now() - make_interval(secs => %(seconds)s)

-- name: oldest
select coalesce(extract(epoch from now() - min(created_at)), 0) as seconds
from outbox where published_at is null and parked_at is null

-- name: purge
delete from outbox where published_at < now() - make_interval(hours => 1) * %(hours)s
