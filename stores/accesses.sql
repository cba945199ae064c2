-- name: add
insert into accesses (
    access_id, person, looked_at, organisation, author, author_name, author_person, job_role, roles,
    purpose, reason, unscheduled, interface, request_id, flagged, listed
)
select access_id, person, looked_at, organisation, author, author_name, author_person, job_role, roles,
       purpose, reason, unscheduled, interface, request_id, flagged, listed
from jsonb_to_recordset(%(looks)s::jsonb) as given (
    access_id uuid, person text, looked_at timestamptz, organisation text, author text,
    author_name text, author_person boolean, job_role text, roles text[], purpose text, reason text,
    unscheduled boolean, interface text, request_id text, flagged boolean, listed boolean
)

-- name: by_ids
select a.* from accesses a
join unnest(%(access_ids)s::uuid[], %(times)s::timestamptz[]) as wanted (access_id, looked_at)
    using (access_id, looked_at)

-- name: kept
select access_id from accesses where access_id = any(%(access_ids)s::uuid[])

-- name: by_id_alone
select * from accesses where access_id = any(%(access_ids)s::uuid[])

-- name: take_back
-- Notices that are not sent yet, or were set aside, and say where somebody was looked at who is
-- restricted by now; not those that the asker's own guardian is sent
update deliveries d
set state = 'superseded', done_at = %(now)s, lease_until = null
from access_notices n
where n.person = any(%(persons)s::text[]) and n.authority = any(%(authorities)s::text[])
    and d.alert_id = n.access_id and d.recipient = n.authority and d.kind = 'access'
    and not d.restricted
    and (d.state in ('open', 'held', 'parked') or d.state = 'refused' and d.last_error like 'policy:%%')
    and d.destination not like 'none-caldicott:%%'
returning n.access_id, n.authority, d.traceparent,
    convert_from(d.body, 'UTF8')::jsonb #>> '{person,nhs_number}' as nhs_number

-- name: notices
-- Not those that were refused: nobody was told
select n.access_id, n.authority, n.person, n.organisation, n.author, n.looked_at
from access_notices n
where n.person = any(%(persons)s::text[]) and n.looked_at > %(since)s
    and exists (
        select from deliveries d
        where d.alert_id = n.access_id and d.recipient = n.authority and d.kind = 'access'
            and d.state not in ('refused', 'superseded'))

-- name: save_notices
insert into access_notices (access_id, authority, person, organisation, author, looked_at)
select * from unnest(
    %(access_ids)s::uuid[], %(authorities)s::text[], %(persons)s::text[], %(organisations)s::text[],
    %(authors)s::text[], %(times)s::timestamptz[])
on conflict do nothing
