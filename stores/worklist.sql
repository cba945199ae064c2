-- name: open
insert into worklist (entry_id, reported_event_id, event_kind, organisation, source, rule, indicator,
    local_id, upload_id, line, opened_at)
values (%(entry_id)s, %(reported_event_id)s, %(event_kind)s, %(organisation)s, %(source)s, %(rule)s,
    %(indicator)s, %(local_id)s, %(upload_id)s, %(line)s, %(opened_at)s)
on conflict (reported_event_id) do update set
    rule = excluded.rule, indicator = excluded.indicator, closed_at = null, closed_rule = null

-- name: close
update worklist set closed_at = %(now)s, closed_rule = given.rule
from unnest(%(ids)s::uuid[], %(rules)s::text[]) as given (id, rule)
where reported_event_id = given.id and closed_at is null

-- name: close_earlier
update worklist set closed_at = %(now)s, closed_rule = given.rule
from unnest(%(keys)s::text[], %(requests)s::uuid[], %(versions)s::integer[], %(rules)s::text[])
    as given (key, request_id, version, rule), claims
where claims.key = given.key and claims.request_id is not distinct from given.request_id
    and claims.event_kind in ('death', 'report') and claims.state = 'unresolved'
    and claims.version < given.version and claims.received_at <= %(before)s
    and worklist.reported_event_id = claims.reported_event_id and closed_at is null

-- name: entries
select entry_id, w.reported_event_id, w.event_kind, w.organisation, w.source, w.rule, w.indicator,
       local_id, upload_id, line, opened_at, c.person
from worklist w
left join claims c using (reported_event_id)
where w.organisation = %(organisation)s and closed_at is null
    and (opened_at, entry_id) > (%(after_at)s::timestamptz, %(after_id)s::uuid)
order by opened_at, entry_id
limit %(limit)s

-- name: oldest
select coalesce(extract(epoch from now() - min(opened_at)), 0) as seconds from worklist where closed_at is null
