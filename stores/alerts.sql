-- name: lock_alert
select * from alerts where alert_id = %(alert_id)s for update

-- name: lock_for_persons
-- Rows are locked in one global order; the persons' advisory locks guard what is not there yet
select * from alerts where person = any(%(persons)s::text[]) order by alert_id for update

-- name: mark_delivered
update alerts
set delivered_at = %(at)s, version = version + 1, changed_at = greatest(changed_at, %(at)s)
where alert_id = %(alert_id)s and delivered_at is null and round = %(round)s
returning *

-- name: mark_seen
update alerts
set seen_at = %(at)s, delivered_at = coalesce(delivered_at, %(at)s),
    version = version + 1, changed_at = greatest(changed_at, %(at)s)
where alert_id = %(alert_id)s and seen_at is null
returning *

-- name: accept
update alerts
set state = 'accepted', accepted_at = %(at)s, accepted_by = %(by)s, answer = %(answer)s,
    delivered_at = coalesce(delivered_at, %(at)s), seen_at = coalesce(seen_at, %(at)s),
    version = version + 1, changed_at = greatest(changed_at, %(at)s)
where alert_id = %(alert_id)s and state = 'raised'
returning *

-- name: list_for_organisation
-- Restricted people are in no list: only the contact that their authority registered is told.
-- Settled is what no running transaction can precede any more: a cursor goes no further
select *, changed_xid < pg_snapshot_xmin(pg_current_snapshot()) as settled
from alerts
where (hospital = %(organisation)s or authority = %(organisation)s)
    and (not restricted or (%(restricted)s and authority = %(organisation)s)
        or (%(withheld)s and withheld_at is not null))
    and (%(states)s::text[] is null or state = any(%(states)s::text[])
        or (%(withheld)s and restricted))
    and (%(after_xid)s::xid8 is null
        or (changed_xid, alert_id) > (%(after_xid)s::xid8, %(after_id)s::uuid))
order by changed_xid, alert_id
limit %(limit)s

-- name: one_for_organisation
-- As the lists show it to one who may see it there; else nothing
select *
from alerts
where alert_id = %(alert_id)s
    and (hospital = %(organisation)s or authority = %(organisation)s)
    and (not restricted or withheld_at is not null)

-- name: save
insert into alerts (
    alert_id, person, authority, hospital, source_patient, visit_ids, version, state, provisional,
    late, restricted, rule, content, content_digest, round, raised_at, changed_at,
    arrival_received_at, delivered_at, seen_at, accepted_at, accepted_by, answer, closed_at,
    withdrawn_at, withheld_at, traceparent
)
values (
    %(alert_id)s, %(person)s, %(authority)s, %(hospital)s, %(source_patient)s, %(visit_ids)s,
    %(version)s, %(state)s, %(provisional)s, %(late)s, %(restricted)s, %(rule)s, %(content)s,
    %(content_digest)s, %(round)s, %(raised_at)s, %(changed_at)s, %(arrival_received_at)s,
    %(delivered_at)s, %(seen_at)s, %(accepted_at)s, %(accepted_by)s, %(answer)s, %(closed_at)s,
    %(withdrawn_at)s, %(withheld_at)s, %(traceparent)s
)
on conflict (alert_id) do update set
    visit_ids = excluded.visit_ids, version = excluded.version, state = excluded.state,
    provisional = excluded.provisional, late = excluded.late, restricted = excluded.restricted,
    rule = excluded.rule, content = excluded.content, content_digest = excluded.content_digest,
    round = excluded.round, changed_at = excluded.changed_at,
    arrival_received_at = excluded.arrival_received_at, delivered_at = excluded.delivered_at,
    seen_at = excluded.seen_at, accepted_at = excluded.accepted_at,
    accepted_by = excluded.accepted_by, answer = excluded.answer, closed_at = excluded.closed_at,
    withdrawn_at = excluded.withdrawn_at, withheld_at = excluded.withheld_at
