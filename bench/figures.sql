-- name: left
-- What is still under way; the journal's count is compared with the one before
select (select count(*) from deliveries where state = 'open') as deliveries,
       (select count(*) from outbox where published_at is null) as outbox,
       (select count(*) from inbox where stage = 'identity' and taken_at >= %(since)s) as decided,
       (select count(*) from deliveries where state = 'delivered' and kind = 'alert'
            and created_at >= %(since)s) as alerted,
       (select count(*) from journal) as journal

-- name: flags
select count(*) as amount from flags

-- name: stages
-- Each stage's own messages from the first batch it took to the last
select stage, count(*) as messages,
       extract(epoch from max(taken_at) - min(taken_at))::float8 as seconds
from inbox where taken_at >= %(since)s
group by stage
union all
select 'dispatcher', count(*),
       extract(epoch from max(done_at) - min(created_at))::float8
from deliveries where created_at >= %(since)s
order by stage

-- name: hops
-- When each hop had an alert's arrival; times are those of the processes' clocks, and of the
-- database's for the delivery row
select a.alert_id, a.arrival_received_at as received, c.decided_at as decided,
       a.raised_at as raised, d.created_at as handed_over
from alerts a
join claims c on c.visit_id = a.visit_ids[1]
join deliveries d on d.alert_id = a.alert_id and d.kind = 'alert' and d.version = 1
where a.raised_at >= %(since)s
