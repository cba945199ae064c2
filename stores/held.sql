-- name: add_letter
insert into held_letters (
    letter_id, organisation, kind, body, created_at, endpoint, about, message_id, case_id,
    needs_acknowledgement, traceparent, reviewer, flow, fields, told, person, restricted,
    policy, policy_version, rule
)
select
    %(letter_id)s, %(organisation)s, %(kind)s, %(body)s, %(created_at)s, %(endpoint)s, %(about)s,
    %(message_id)s, %(case_id)s, %(needs_acknowledgement)s, %(traceparent)s, %(reviewer)s,
    %(flow)s, %(fields)s::text[], %(told)s::text[], %(person)s, %(restricted)s,
    %(policy)s, %(policy_version)s, %(rule)s
where not exists (select from letters where letter_id = %(letter_id)s)
    and not exists (select from letters_gone where letter_id = %(letter_id)s)
on conflict (letter_id) do nothing

-- name: kept
-- A row of a delivery that a person has refused is done; one that a policy denied is not
select * from (
    select d.delivery_id as item_id, 'delivery' as what, d.kind, d.recipient, d.reviewer,
           d.alert_id as subject, d.version, d.policy, d.policy_version,
           coalesce(substr(d.last_error, 8), '') as rule, d.state = 'refused' as denied,
           d.created_at
    from deliveries d
    where d.state in ('held', 'refused') and d.last_error like 'policy:%%'
        and d.recipient is not null and d.reviewer is not null
        and (%(reviewer)s::text is null or d.reviewer = %(reviewer)s)
    union all
    select l.letter_id, 'letter', l.kind, l.organisation, l.reviewer, coalesce(l.case_id, s.alert_id),
           s.version, l.policy, l.policy_version, l.rule, false, l.created_at
    from held_letters l
    left join alert_shares s using (letter_id)
    where l.state = 'held' and (%(reviewer)s::text is null or l.reviewer = %(reviewer)s)
) queue
where %(after_at)s::timestamptz is null
    or (created_at, item_id) > (%(after_at)s::timestamptz, %(after_id)s::uuid)
order by created_at, item_id
limit %(limit)s

-- name: locks
-- Whom it is about: the locks to take before it is decided
select person, null::uuid as case_id from deliveries
where delivery_id = %(id)s and recipient is not null and reviewer is not null
union all
select person, case_id from held_letters where letter_id = %(id)s

-- name: reviewer
select reviewer from deliveries
where delivery_id = %(id)s and recipient is not null and reviewer is not null
union all
select reviewer from held_letters where letter_id = %(id)s

-- name: given
select alert_id, version, policy, policy_version from deliveries
where alert_id = any(%(alert_ids)s::uuid[]) and recipient = %(organisation)s and kind = 'alert'
    and released_at is not null and state not in ('held', 'refused')

-- name: delivery
select d.delivery_id, d.destination, d.alert_id, d.version, d.kind, d.body, d.recipient, d.reviewer,
       d.person, d.restricted, d.state, d.released_at is not null as released, d.last_error as reason,
       delivery_overtaken(d.delivery_id) as overtaken
from deliveries d
where d.delivery_id = %(id)s and d.recipient is not null and d.reviewer is not null

-- name: hint
select pg_notify('halyard_deliveries', '')

-- name: release_delivery
update deliveries
set state = 'open', body = %(body)s, policy = %(policy)s, policy_version = %(policy_version)s,
    released_at = now(), due_at = now(), done_at = null, lease_until = null, last_error = null
where delivery_id = %(id)s

-- name: unknown_then
-- Denied to an authority that the directory did not know, and knows now
select delivery_id from deliveries
where state = 'refused' and last_error = %(reason)s and destination like 'none%%:%%'
    and recipient = any(%(known)s::text[]) and reviewer is not null
order by created_at
limit %(limit)s

-- name: reconsider
update deliveries
set state = %(state)s, body = %(body)s, policy = %(policy)s, policy_version = %(policy_version)s,
    due_at = now(), done_at = null, lease_until = null, last_error = %(reason)s
where delivery_id = %(id)s

-- name: settle_delivery
update deliveries
set state = %(state)s, body = '{}', last_error = %(reason)s, done_at = now(), lease_until = null
where delivery_id = %(id)s

-- name: letter
select * from held_letters where letter_id = %(id)s

-- name: settle_letters
update held_letters set state = %(state)s, done_at = %(at)s, body = '{}'
where letter_id = any(%(ids)s::uuid[]) and state = 'held'

-- name: end_letters
update held_letters set state = 'superseded', done_at = %(at)s, body = '{}'
where case_id = %(case_id)s and organisation = %(organisation)s and state = 'held'
    and position(convert_to(%(holds)s, 'UTF8') in body) > 0

-- name: end_kind
update held_letters set state = 'superseded', done_at = %(at)s, body = '{}'
where case_id = any(%(case_ids)s::uuid[]) and kind = %(kind)s and state = 'held'
returning organisation

-- name: end_cases
update held_letters set state = 'superseded', done_at = %(at)s, body = '{}'
where case_id = any(%(case_ids)s::uuid[]) and state = 'held'

-- name: waiting
with kept as (
    select created_at, kind, state = 'refused' as denied from deliveries
    where state in ('held', 'refused') and last_error like 'policy:%'
    union all
    select created_at, kind, false from held_letters where state = 'held'
)
select count(*) filter (where not denied) as held,
       coalesce(extract(epoch from now() - min(created_at)
           filter (where kind <> 'alert' and not denied)), 0) as others_oldest_seconds,
       count(*) filter (where kind = 'alert' and not denied) as alerts_held,
       coalesce(extract(epoch from now() - min(created_at)
           filter (where kind = 'alert' and not denied)), 0) as alerts_oldest_seconds,
       count(*) filter (where kind = 'alert' and denied) as alerts_denied
from kept
