-- What is kept no longer, by class (docs/reference/retention.md). Of each class: how much is due and how
-- old (`…_count`), the keys of some of it (`…_due`), and its end (`…_drop`), which looks again under the
-- locks. A `before` that is null means: kept.

-- name: delivery_bodies_count
select count(*) as due, min(done_at) as oldest from deliveries
where done_at < %(before)s and body <> ''
    and state in ('delivered', 'superseded', 'refused')

-- name: delivery_bodies_due
select delivery_id::text as key from deliveries
where done_at < %(before)s and body <> '' and state in ('delivered', 'superseded', 'refused')
order by done_at limit %(limit)s

-- name: delivery_bodies_drop
update deliveries set body = ''
where delivery_id = any(%(keys)s::uuid[]) and done_at < %(before)s
    and state in ('delivered', 'superseded', 'refused')

-- name: visit_bodies_count
select count(*) as due, min(e.received_at) as oldest from visit_events e
where e.received_at < %(before)s
    and not exists (select from visit_events later
                    where later.visit_id = e.visit_id and later.received_at >= %(before)s)
    and not exists (select from alerts a where a.visit_ids @> array[e.visit_id])

-- name: visit_bodies_due
select e.visit_id::text as key from visit_events e
where e.received_at < %(before)s
    and not exists (select from visit_events later
                    where later.visit_id = e.visit_id and later.received_at >= %(before)s)
    and not exists (select from alerts a where a.visit_ids @> array[e.visit_id])
group by e.visit_id order by min(e.received_at) limit %(limit)s

-- name: visit_bodies_drop
with old as (
    select visit_id from unnest(%(keys)s::uuid[]) as given (visit_id)
    where not exists (select from visit_events later
                      where later.visit_id = given.visit_id and later.received_at >= %(before)s)
        and not exists (select from alerts a where a.visit_ids @> array[given.visit_id])
), emptied as (
    update visits set reason = null, mode_of_arrival = null, acuity = null,
        discharge_destination = null
    where visit_id in (select visit_id from old)
)
delete from visit_events where visit_id in (select visit_id from old)

-- name: visits_count
select count(*) as due, min(v.received_at) as oldest from visits v
where v.received_at < %(before)s
    and not exists (select from visits young
                    where young.visit_id = v.visit_id and young.received_at >= %(before)s)
    and not exists (select from visit_events e
                    where e.visit_id = v.visit_id and e.received_at >= %(before)s)
    and not exists (select from alerts a where a.visit_ids @> array[v.visit_id])

-- name: visits_due
select v.visit_id::text as key from visits v
where v.received_at < %(before)s
    and not exists (select from visits young
                    where young.visit_id = v.visit_id and young.received_at >= %(before)s)
    and not exists (select from visit_events e
                    where e.visit_id = v.visit_id and e.received_at >= %(before)s)
    and not exists (select from alerts a where a.visit_ids @> array[v.visit_id])
order by v.received_at limit %(limit)s

-- name: visits_drop
with old as (
    select visit_id from visits v
    where v.visit_id = any(%(keys)s::uuid[]) and v.received_at < %(before)s
        and not exists (select from visits young
                        where young.visit_id = v.visit_id and young.received_at >= %(before)s)
        and not exists (select from visit_events e
                        where e.visit_id = v.visit_id and e.received_at >= %(before)s)
        and not exists (select from alerts a where a.visit_ids @> array[v.visit_id])
), bodies as (
    delete from visit_events where visit_id in (select visit_id from old)
)
delete from visits where visit_id in (select visit_id from old)

-- name: alerts_count
-- One that nobody has accepted is never due. An alert goes with its visits, once nothing of them is young:
-- a visit that stayed alone would raise it again
select count(*) as due, min(changed_at) as oldest from alerts a
where changed_at < %(before)s and state <> 'raised'
    and not exists (select from deliveries d where d.alert_id = a.alert_id
                    and d.state in ('open', 'held', 'parked'))
    and not exists (select from visits v
                    where v.visit_id = any(a.visit_ids) and v.received_at >= %(before)s)
    and not exists (select from visit_events e
                    where e.visit_id = any(a.visit_ids) and e.received_at >= %(before)s)

-- name: alerts_due
select alert_id::text as key,
    array['person:' || person] || array(select 'visit:' || one from unnest(visit_ids) as one) as locks
from alerts a
where changed_at < %(before)s and state <> 'raised'
    and not exists (select from deliveries d where d.alert_id = a.alert_id
                    and d.state in ('open', 'held', 'parked'))
    and not exists (select from visits v
                    where v.visit_id = any(a.visit_ids) and v.received_at >= %(before)s)
    and not exists (select from visit_events e
                    where e.visit_id = any(a.visit_ids) and e.received_at >= %(before)s)
order by changed_at limit %(limit)s

-- name: alerts_drop
-- Under the locks of the visits that it named when they were taken; those of others, that another alert
-- still names, stay (and raise nothing: they are too old)
with old as (
    select alert_id, visit_ids from alerts a
    where a.alert_id = any(%(keys)s::uuid[]) and a.changed_at < %(before)s and a.state <> 'raised'
        and not exists (select from deliveries d where d.alert_id = a.alert_id
                        and d.state in ('open', 'held', 'parked'))
        and not exists (select from visits v
                        where v.visit_id = any(a.visit_ids) and v.received_at >= %(before)s)
        and not exists (select from visit_events e
                        where e.visit_id = any(a.visit_ids) and e.received_at >= %(before)s)
        and not exists (select from unnest(a.visit_ids) as one
                        where 'visit:' || one <> all(%(locks)s::text[]))
), named as (
    select unnest(visit_ids) as visit_id from alerts
    where alert_id not in (select alert_id from old)
        and visit_ids && array(select unnest(visit_ids) from old)
), alone as (
    select unnest(visit_ids) as visit_id from old except select visit_id from named
), events as (
    delete from visit_events where visit_id in (select visit_id from alone)
), stays as (
    delete from visits where visit_id in (select visit_id from alone)
), sent as (
    delete from deliveries where alert_id in (select alert_id from old)
)
delete from alerts where alert_id in (select alert_id from old)

-- name: flags_count
-- A plan goes whole: none of its periods is open or ended lately, none of its records is young. A record
-- that stayed could bring back what a later one ended
with plans as (
    select authority, person, plan_type, max(received_at) as heard from flag_events
    group by authority, person, plan_type
)
select count(*) as due, min(heard) as oldest from plans p
where heard < %(before)s
    and not exists (select from flags f
                    where (f.authority, f.person, f.plan_type)
                        = (p.authority, p.person, p.plan_type)
                        and (last_day(f) is null or last_day(f) >= %(before)s::date))

-- name: flags_due
with plans as (
    select authority, person, plan_type, max(received_at) as heard from flag_events
    group by authority, person, plan_type
)
select person as key from plans p
where heard < %(before)s
    and not exists (select from flags f
                    where (f.authority, f.person, f.plan_type)
                        = (p.authority, p.person, p.plan_type)
                        and (last_day(f) is null or last_day(f) >= %(before)s::date))
group by person order by min(heard) limit %(limit)s

-- name: flags_drop
with plans as (
    select authority, person, plan_type from flag_events
    where person = any(%(keys)s::text[])
    group by authority, person, plan_type
    having max(received_at) < %(before)s
), old as (
    select * from plans p
    where not exists (select from flags f
                      where (f.authority, f.person, f.plan_type)
                          = (p.authority, p.person, p.plan_type)
                          and (last_day(f) is null or last_day(f) >= %(before)s::date))
), folded as (
    delete from flags where (authority, person, plan_type) in (select * from old)
)
delete from flag_events where (authority, person, plan_type) in (select * from old)

-- name: uploads_count
-- The last file of an authority says how far its silence may be believed
select count(*) as due, min(received_at) as oldest from uploads u
where received_at < %(before)s
    and exists (select from uploads later
                where later.authority = u.authority and later.received_at > u.received_at)

-- name: uploads_due
select upload_id::text as key from uploads u
where received_at < %(before)s
    and exists (select from uploads later
                where later.authority = u.authority and later.received_at > u.received_at)
order by received_at limit %(limit)s

-- name: uploads_drop
with old as (
    select upload_id from uploads u
    where upload_id = any(%(keys)s::uuid[]) and received_at < %(before)s
        and exists (select from uploads later
                    where later.authority = u.authority and later.received_at > u.received_at)
), answers as (
    delete from upload_answers where upload_id in (select upload_id from old)
)
delete from uploads where upload_id in (select upload_id from old)

-- name: worklist_count
select count(*) as due, min(closed_at) as oldest from worklist where closed_at < %(before)s

-- name: worklist_due
select entry_id::text as key from worklist where closed_at < %(before)s
order by closed_at limit %(limit)s

-- name: worklist_drop
delete from worklist where entry_id = any(%(keys)s::uuid[]) and closed_at < %(before)s

-- name: access_notices_count
select count(*) as due, min(looked_at) as oldest from access_notices where looked_at < %(before)s

-- name: access_notices_due
select distinct person as key from access_notices where looked_at < %(before)s limit %(limit)s

-- name: access_notices_drop
delete from access_notices where person = any(%(keys)s::text[]) and looked_at < %(before)s

-- name: inbox_count
select count(*) as due, min(taken_at) as oldest from inbox where taken_at < %(before)s

-- name: inbox_due
select event_id::text as key from inbox where taken_at < %(before)s limit %(limit)s

-- name: inbox_drop
delete from inbox where event_id = any(%(keys)s::uuid[]) and taken_at < %(before)s

-- name: sessions_count
select count(*) as due, min(ends_at) as oldest from sessions where ends_at < %(before)s

-- name: sessions_due
select session_hash as key from sessions where ends_at < %(before)s limit %(limit)s

-- name: sessions_drop
delete from sessions where ends_at < %(before)s
    and session_hash = any(%(keys)s::text[])

-- name: used_tokens_count
select count(*) as due, min(expires_at) as oldest from used_tokens where expires_at < %(before)s

-- name: used_tokens_due
select encode(digest, 'hex') as key from used_tokens
where expires_at < %(before)s order by expires_at limit %(limit)s

-- name: used_tokens_drop
delete from used_tokens where expires_at < %(before)s
    and digest in (select decode(key, 'hex') from unnest(%(keys)s::text[]) as given (key))

-- name: applied
insert into retention_runs (applied_at) values (%(now)s)
on conflict (singleton) do update set applied_at = excluded.applied_at

-- name: upkeep
select (select applied_at from retention_runs) as applied_at,
    (select min(applied_at) from migration) as database_since

-- name: journal_count
select count(*) as due, min(recorded_at) as oldest from journal where recorded_at < %(before)s

-- name: journal_due
select event_id::text as key from journal where recorded_at < %(before)s limit %(limit)s

-- name: journal_drop
delete from journal where event_id = any(%(keys)s::uuid[]) and recorded_at < %(before)s

-- name: months
-- Partitions by month, `<table>_yYYYYmMM`, and how many rows they hold about
select inhrelid::regclass::text as partition, parent.relname as parent,
    greatest(child.reltuples, 0)::bigint as about,
    pg_get_expr(child.relpartbound, child.oid) as bounds
from pg_inherits
join pg_class child on child.oid = inhrelid
join pg_class parent on parent.oid = inhparent
where parent.relname = any(%(tables)s::text[]) and parent.relnamespace = 'halyard'::regnamespace
order by 2, 1

-- name: trace_results_count
select count(*) as due, min(done_at) as oldest from trace_batches
where done_at < %(before)s and emptied_at is null and state = 'done'

-- name: trace_results_due
select batch_id::text as key from trace_batches
where done_at < %(before)s and emptied_at is null and state = 'done'
order by done_at limit %(limit)s

-- name: trace_results_drop
-- Told nobody from now on; the tracer clears the lines, page by page (stores/trace_work.sql)
update trace_batches set emptied_at = now(), reason = null
where batch_id = any(%(keys)s::uuid[]) and done_at < %(before)s and emptied_at is null and state = 'done'

-- name: trace_batches_count
select count(*) as due, min(made_at) as oldest from trace_batches
where made_at < %(before)s and cleared and state <> 'dropped'

-- name: trace_batches_due
select batch_id::text as key from trace_batches
where made_at < %(before)s and cleared and state <> 'dropped'
order by made_at limit %(limit)s

-- name: trace_batches_drop
-- Not there from now on; the tracer removes it with its lines, page by page
update trace_batches set state = 'dropped'
where batch_id = any(%(keys)s::uuid[]) and made_at < %(before)s and cleared and state <> 'dropped'
