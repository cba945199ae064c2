-- name: open
insert into worklist (entry_id, reported_event_id, event_kind, organisation, source, rule, indicator,
    local_id, upload_id, line, opened_at, claim, candidates, shown_rule, next_try_at, cause, key, plan_type)
values (%(entry_id)s, %(reported_event_id)s, %(event_kind)s, %(organisation)s, %(source)s, %(rule)s,
    %(indicator)s, %(local_id)s, %(upload_id)s, %(line)s, %(opened_at)s, %(claim)s, %(candidates)s,
    %(shown_rule)s, %(next_try_at)s, %(cause)s, %(key)s, %(plan_type)s)
on conflict (reported_event_id) do update set
    rule = excluded.rule, indicator = excluded.indicator, closed_at = null, closed_rule = null,
    claim = excluded.claim, candidates = excluded.candidates, shown_rule = excluded.shown_rule,
    next_try_at = excluded.next_try_at,
    -- what ended may be opened again by new evidence: it is tried from the start
    tries = case when worklist.closed_at is null then worklist.tries else 0 end,
    ended_by = null, ended_name = null, ended_reason = null, cause = excluded.cause
where excluded.cause is null or worklist.cause is distinct from excluded.cause
    or worklist.closed_at is null
    or worklist.ended_by is null and coalesce(worklist.closed_rule, '') not in ('expired', 'expired-held')

-- name: close
update worklist set closed_at = %(now)s, closed_rule = given.rule, claim = null, candidates = '[]',
    next_try_at = null, claimed_by = null, claimed_name = null, claimed_until = null
from unnest(%(ids)s::uuid[], %(rules)s::text[]) as given (id, rule)
where reported_event_id = given.id and closed_at is null

-- name: close_earlier
update worklist set closed_at = %(now)s, closed_rule = given.rule, claim = null, candidates = '[]',
    next_try_at = null, claimed_by = null, claimed_name = null, claimed_until = null
from unnest(%(keys)s::text[], %(requests)s::uuid[], %(versions)s::integer[], %(rules)s::text[])
    as given (key, request_id, version, rule), claims
where claims.key = given.key and claims.request_id is not distinct from given.request_id
    and claims.event_kind in ('death', 'report') and claims.state = 'unresolved'
    and claims.version < given.version and claims.received_at <= %(before)s
    and worklist.reported_event_id = claims.reported_event_id and closed_at is null

-- name: close_resent
-- Also what ended as matching nobody: it is held now
update worklist w set closed_at = coalesce(closed_at, %(now)s), closed_rule = 'flag-sent-again', claim = null,
    candidates = '[]', next_try_at = null, claimed_by = null, claimed_name = null, claimed_until = null
from unnest(%(keys)s::text[], %(plans)s::text[], %(received)s::timestamptz[])
    as given (key, plan_type, received_at)
where w.event_kind = 'flag' and w.key = given.key and w.plan_type = given.plan_type
    and (closed_at is null or closed_rule in ('expired', 'rejected-by-person.nobody'))
    and coalesce((select c.received_at from claims c where c.reported_event_id = w.reported_event_id), opened_at)
        < given.received_at

-- name: entries
select entry_id, w.reported_event_id, w.event_kind, w.organisation, w.source, w.rule, w.indicator,
       local_id, upload_id, line, opened_at, c.person, shown_rule, claimed_by, claimed_name, claimed_until,
       question, asked_at, next_try_at, tries, c.decided_at
from worklist w
left join claims c using (reported_event_id)
where w.organisation = %(organisation)s and closed_at is null
    and (opened_at, entry_id) > (%(after_at)s::timestamptz, %(after_id)s::uuid)
order by opened_at, entry_id
limit %(limit)s

-- name: entry
select entry_id, w.reported_event_id, w.event_kind, w.organisation, w.source, w.rule, w.indicator,
       local_id, upload_id, line, opened_at, c.person, shown_rule, claimed_by, claimed_name, claimed_until,
       question, asked_at, next_try_at, tries, claim, candidates, closed_at, closed_rule, ended_by,
       ended_name, ended_reason, c.decided_at
from worklist w
left join claims c using (reported_event_id)
where entry_id = %(entry_id)s and (%(organisation)s::text is null or w.organisation = %(organisation)s)

-- name: hold
select entry_id from worklist where entry_id = %(entry_id)s for update

-- name: claim
update worklist set claimed_by = %(by)s, claimed_name = %(name)s, claimed_until = %(until)s
where entry_id = %(entry_id)s

-- name: ask
update worklist set question = %(question)s, asked_at = %(now)s where entry_id = %(entry_id)s

-- name: ended
update worklist set ended_by = %(by)s, ended_name = %(name)s, ended_reason = %(reason)s
where entry_id = %(entry_id)s

-- name: tried
update worklist set tries = tries + %(tries)s, next_try_at = case when closed_at is null then %(next_try_at)s::timestamptz end
where entry_id = %(entry_id)s

-- name: take_due
update worklist set next_try_at = null
where entry_id in (
    select entry_id from worklist where closed_at is null and next_try_at <= %(now)s
    order by next_try_at limit %(limit)s for update skip locked)
returning entry_id, reported_event_id, organisation

-- name: aged
-- What came in before: of visits, unless an alert stands of it; of all else. What was taken back has as
-- long again. Locked first: what is decided of it is looked for only then (`expire`)
select w.entry_id from worklist w left join claims c using (reported_event_id)
where w.closed_at is null and case
    when w.event_kind = 'attendance' and w.rule not like 'merge-%%' and c.person is null
        then greatest(coalesce(c.received_at, w.opened_at),
            case when w.rule = 'resolution-withdrawn' then c.decided_at end) < %(arrivals)s
    when w.event_kind = 'attendance' and c.person is not null then false
    else w.opened_at < %(others)s end
order by w.opened_at limit %(limit)s
for update of w skip locked

-- name: expire
update worklist w set closed_at = %(now)s, claim = null, candidates = '[]',
    next_try_at = null, claimed_by = null, claimed_name = null, claimed_until = null,
    -- what is the matter with a number of a plan that is held: it goes on being held
    closed_rule = case when cause is not null and exists (select from claims c
        where c.reported_event_id = w.reported_event_id and c.state = 'verified') then 'expired-held'
        else 'expired' end
where entry_id = any(%(ids)s::uuid[]) and not exists (select from resolutions r
    where r.entry_id = w.entry_id and r.state in ('waiting', 'asked') and not r.scheduled)
returning reported_event_id, event_kind, rule, closed_rule

-- name: standing_aged
-- Visits' entries of which an alert stands still: it is taken back with them
select w.entry_id, w.reported_event_id, w.organisation
from worklist w join claims c using (reported_event_id)
where w.closed_at is null and w.event_kind = 'attendance' and c.person is not null and w.opened_at < %(before)s
    and not exists (select from resolutions r
        where r.entry_id = w.entry_id and (r.state in ('waiting', 'asked')
            -- one that failed is not begun anew all the time
            or r.scheduled and r.action = 'reject' and r.made_at > %(now)s::timestamptz - interval '1 day'))
order by w.opened_at limit %(limit)s

-- name: oldest
select coalesce(extract(epoch from now() - min(opened_at)), 0) as seconds from worklist where closed_at is null

-- name: standing
select event_kind, rule, count(*) as amount, min(opened_at) as oldest,
    count(*) filter (where claimed_until > %(now)s) as claimed
from worklist where closed_at is null group by event_kind, rule
