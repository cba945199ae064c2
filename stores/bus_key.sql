-- name: current
select key_id, since from bus_key

-- name: register
insert into bus_key (key_id, since) values (%(key_id)s, %(at)s) on conflict do nothing

-- name: hold
select key_id, since from bus_key for update

-- name: switch
update bus_key set key_id = %(key_id)s, since = %(at)s where key_id = %(before)s

-- name: sessions
-- Names of the hub's processes that are connected to this database
select distinct application_name as name from pg_stat_activity
where datname = current_database() and application_name like 'halyard-%'
    and pid <> pg_backend_pid()
order by 1

-- name: undone
-- What still stands under the bus key, or may yet be said under it
select
    (select count(*) from outbox where published_at is null and parked_at is null) as unpublished,
    (select count(*) from outbox where parked_at is not null) as never_sent,
    (select count(*) from parked_keys) as parked,
    (select count(*) from claims where state in ('waiting', 'provisional')) as waiting,
    (select count(*) from trace_requests where state in ('queued', 'leased')) as traces
