-- name: add
insert into outbox (lane, topic, key, headers, value, event_id)
select lane, topic, key, headers, value, event_id
from unnest(%(lanes)s::integer[], %(topics)s::text[], %(keys)s::text[], %(headers)s::jsonb[],
            %(values)s::bytea[], %(event_ids)s::uuid[]) with ordinality
    as given (lane, topic, key, headers, value, event_id, position)
order by position

-- name: lock_lanes
-- class 0x6f62 keeps lanes apart from every other advisory lock
select pg_advisory_xact_lock(28514, lane) from (select unnest(%(lanes)s::integer[]) as lane order by lane) as wanted

-- name: waiting
select id, lane, topic, key, headers, value
from outbox
where published_at is null and lane = any(%(lanes)s::integer[])
order by id
limit %(page)s

-- name: mark
update outbox set published_at = now() where id = any(%(ids)s::bigint[])

-- name: stale_lanes
select distinct lane from outbox
where published_at is null and created_at < now() - make_interval(secs => %(seconds)s)

-- name: oldest
select coalesce(extract(epoch from now() - min(created_at)), 0) as seconds
from outbox where published_at is null

-- name: purge
delete from outbox where published_at < now() - make_interval(hours => 1) * %(hours)s
