-- name: trace_of
-- the trace of an event, an alert or a delivery
select trace_id from (
    select trace_id, 1 as rank from journal where event_id = %(id)s
    union all
    select split_part(traceparent, '-', 2), 2 from alerts where alert_id = %(id)s
    union all
    select split_part(traceparent, '-', 2), 3 from deliveries where delivery_id = %(id)s
    union all
    select split_part(traceparent, '-', 2), 4 from claims where reported_event_id = %(id)s
) as found
order by rank
limit 1

-- name: hops
select event_time as at, event_type as event, source,
       format('%%s[%%s]@%%s', topic, partition, kafka_offset) as place, event_id as id, 1 as rank
from journal
where trace_id = %(trace_id)s
union all
select decided_at, 'decided: ' || state, 'identity', 'rule ' || rule, reported_event_id, 2
from claims
where split_part(traceparent, '-', 2) = %(trace_id)s
union all
select coalesce(done_at, created_at), 'webhook ' || kind || ' ' || state, 'dispatcher',
       format('to %%s, version %%s, %%s attempts', destination, version, attempts), delivery_id, 3
from deliveries
where split_part(traceparent, '-', 2) = %(trace_id)s
order by at, rank

-- name: undecided
select %(expected)s
    - (select count(*) from claims where event_kind = 'attendance' and state not in ('waiting', 'provisional'))
    as left
