-- name: scope
-- What a decision about these keys, visits and newly flagged people may touch, for the locks
with direct as (
    select key, visit_id from claims
    where key = any(%(keys)s::text[]) and event_kind in ('attendance', 'flag')
        and (received_at > %(since)s or state in ('waiting', 'provisional'))
    union
    select key, visit_id from claims where visit_id = any(%(visits)s::uuid[])
        and (received_at > %(since)s or state in ('waiting', 'provisional', 'verified') or person is not null)
    union
    select key, visit_id from claims
    where number_token = any(%(numbers)s::text[]) and received_at > %(since)s
        and event_kind = 'attendance' and state in ('waiting', 'unresolved', 'not_traced')
    union
    select key, visit_id from claims
    where demographic_token = any(%(demographics)s::text[]) and received_at > %(since)s
        and event_kind = 'attendance' and state in ('waiting', 'unresolved', 'not_traced')
), deaths as (
    -- of a notification's messages: what is undecided, whom it was ever verified of, its last void,
    -- and the last few
    select reported_event_id from claims
    where key = any(%(keys)s::text[]) and event_kind in ('death', 'report')
        and state in ('waiting', 'provisional')
    union
    select reported_event_id from claims
    where key = any(%(keys)s::text[]) and event_kind in ('death', 'report')
        and state = 'unresolved' and received_at > %(since)s
    union
    (select distinct on (key, request_id, person) reported_event_id from claims
    where key = any(%(keys)s::text[]) and event_kind in ('death', 'report') and state = 'verified'
    order by key, request_id, person, version desc, position desc)
    union
    (select distinct on (key, request_id) reported_event_id from claims
    where key = any(%(keys)s::text[]) and event_kind in ('death', 'report') and rule = 'death-voided'
    order by key, request_id, version desc, position desc)
    union
    select near.reported_event_id from unnest(%(keys)s::text[]) as given (key) cross join lateral (
        select reported_event_id from claims
        where claims.key = given.key and event_kind in ('death', 'report') and received_at > %(since)s
        order by position desc limit %(last)s
    ) as near
)
select key, visit_id, person, number_token, demographic_token, state
from claims join deaths using (reported_event_id)
union all
select key, visit_id, person, number_token, demographic_token, state from claims
where key in (select key from direct) and event_kind in ('attendance', 'flag')
    and (received_at > %(since)s or state in ('waiting', 'provisional'))
union all
select key, visit_id, person, number_token, demographic_token, state from claims
where visit_id in (select visit_id from direct) and received_at > %(since)s
union all
select key, visit_id, person, number_token, demographic_token, state from claims
where visit_id = any(%(visits)s::uuid[]) and received_at <= %(since)s
    and (state in ('waiting', 'provisional', 'verified') or person is not null)
union all
-- a mother's claims: she may have been there for long when her child is born
select key, visit_id, person, number_token, demographic_token, state from claims
where key = any(%(mothers)s::text[]) and state = 'verified'
    and received_at between %(since)s::timestamptz - interval '300 days' and %(since)s
union all
-- whom the ids of merged patients were ever verified of
(select distinct on (key, person) key, visit_id, person, number_token, demographic_token, state from claims
where key = any(%(named)s::text[]) and event_kind in ('attendance', 'flag') and state = 'verified' and received_at <= %(since)s
order by key, person, position desc)
union all
select key, visit_id, person, number_token, demographic_token, state from claims
where reported_event_id = any(%(events)s::uuid[])
union all
-- keys that took part in a merge: their family is to be looked at too
select near.key, null, null, null, null, 'merged'
from (select key from direct union select unnest(%(keys)s::text[])) as near
where exists (select from merges where retired_key = near.key)
    or exists (select from merges where surviving_key = near.key)

-- name: load
with direct as (
    select key, visit_id from claims
    where key = any(%(keys)s::text[]) and event_kind in ('attendance', 'flag')
        and (received_at > %(since)s or state in ('waiting', 'provisional'))
    union
    select key, visit_id from claims where visit_id = any(%(visits)s::uuid[])
        and (received_at > %(since)s or state in ('waiting', 'provisional', 'verified') or person is not null)
    union
    select key, visit_id from claims
    where number_token = any(%(numbers)s::text[]) and received_at > %(since)s
        and event_kind = 'attendance' and state in ('waiting', 'unresolved', 'not_traced')
    union
    select key, visit_id from claims
    where demographic_token = any(%(demographics)s::text[]) and received_at > %(since)s
        and event_kind = 'attendance' and state in ('waiting', 'unresolved', 'not_traced')
), deaths as (
    -- of a notification's messages: what is undecided, whom it was ever verified of, its last void,
    -- and the last few
    select reported_event_id from claims
    where key = any(%(keys)s::text[]) and event_kind in ('death', 'report')
        and state in ('waiting', 'provisional')
    union
    select reported_event_id from claims
    where key = any(%(keys)s::text[]) and event_kind in ('death', 'report')
        and state = 'unresolved' and received_at > %(since)s
    union
    (select distinct on (key, request_id, person) reported_event_id from claims
    where key = any(%(keys)s::text[]) and event_kind in ('death', 'report') and state = 'verified'
    order by key, request_id, person, version desc, position desc)
    union
    (select distinct on (key, request_id) reported_event_id from claims
    where key = any(%(keys)s::text[]) and event_kind in ('death', 'report') and rule = 'death-voided'
    order by key, request_id, version desc, position desc)
    union
    select near.reported_event_id from unnest(%(keys)s::text[]) as given (key) cross join lateral (
        select reported_event_id from claims
        where claims.key = given.key and event_kind in ('death', 'report') and received_at > %(since)s
        order by position desc limit %(last)s
    ) as near
), wanted as (
    select reported_event_id from deaths
    union
    select reported_event_id from claims
    where key in (select key from direct) and event_kind in ('attendance', 'flag')
        and (received_at > %(since)s or state in ('waiting', 'provisional'))
    union
    select reported_event_id from claims
    where visit_id in (select visit_id from direct) and received_at > %(since)s
    union
    select reported_event_id from claims
    where visit_id = any(%(visits)s::uuid[])
        and (state in ('waiting', 'provisional', 'verified') or person is not null)
    union
    select reported_event_id from claims
    where key = any(%(mothers)s::text[]) and state = 'verified'
        and received_at between %(since)s::timestamptz - interval '300 days' and %(since)s
    union
    (select distinct on (key, person) reported_event_id from claims
    where key = any(%(named)s::text[]) and event_kind in ('attendance', 'flag') and state = 'verified' and received_at <= %(since)s
    order by key, person, position desc)
    union
    select reported_event_id from claims where reported_event_id = any(%(events)s::uuid[])
)
select reported_event_id, key, event_kind, visit_id, state, rule, indicator, priority, person, restricted,
       revision, number_token, demographic_token, received_at, decided_at, traceparent, version, request_id, event
from claims join wanted using (reported_event_id)
order by position

-- name: merge_words
select event from claims
where key = any(%(keys)s::text[]) and event_kind = 'attendance' and rule = any(%(rules)s::text[])
    and person is null and event is not null and received_at > %(since)s

-- name: of_event
select reported_event_id, key, event_kind, visit_id, state, rule, indicator, priority, person, restricted,
       revision, number_token, demographic_token, received_at, decided_at, traceparent, version, request_id, event
from claims where reported_event_id = %(event_id)s

-- name: decided_with
select other.reported_event_id from claims one
join claims other on other.key = one.key and other.decided_at = one.decided_at and other.event is not null
where one.reported_event_id = %(event_id)s

-- name: put
insert into claims (reported_event_id, key, event_kind, visit_id, state, rule, indicator, priority, person,
    restricted, revision, number_token, demographic_token, received_at, decided_at, traceparent, version,
    request_id, event)
select reported_event_id, key, event_kind, visit_id, state, rule, indicator, priority, person,
    restricted, revision, number_token, demographic_token, received_at, decided_at, traceparent, version,
    request_id, event
from unnest(%(reported_event_id)s::uuid[], %(key)s::text[], %(event_kind)s::text[], %(visit_id)s::uuid[],
    %(state)s::text[], %(rule)s::text[], %(indicator)s::text[], %(priority)s::smallint[], %(person)s::text[],
    %(restricted)s::boolean[], %(revision)s::integer[], %(number_token)s::text[],
    %(demographic_token)s::text[], %(received_at)s::timestamptz[], %(decided_at)s::timestamptz[],
    %(traceparent)s::text[], %(version)s::integer[], %(request_id)s::uuid[], %(event)s::bytea[]) with ordinality
    as given (reported_event_id, key, event_kind, visit_id, state, rule, indicator, priority, person,
        restricted, revision, number_token, demographic_token, received_at, decided_at, traceparent, version,
        request_id, event, place)
order by place
on conflict (reported_event_id) do update set
    key = excluded.key,
    state = excluded.state,
    rule = excluded.rule,
    indicator = excluded.indicator,
    priority = excluded.priority,
    person = excluded.person,
    restricted = excluded.restricted,
    -- another of the sender's numbers may be chosen; what retention emptied stays empty
    number_token = case when claims.event is not null then excluded.number_token end,
    event = case when claims.event is not null then excluded.event end,
    demographic_token = case when excluded.event is not null then claims.demographic_token end,
    revision = excluded.revision,
    decided_at = excluded.decided_at

-- name: empty
update claims set event = null, number_token = null, demographic_token = null
where event is not null and received_at < %(before)s and state not in ('waiting', 'provisional')
    -- what a person may still decide: flags and deaths on a worklist, whatever is being decided, and what
    -- was decided a short while ago and may be taken back
    and not exists (select from worklist w where w.reported_event_id = claims.reported_event_id
        and w.closed_at is null and (w.event_kind <> 'attendance' or w.rule = 'resolution-withdrawn'
            or claims.person is not null -- an alert stands of it: as long as it may be taken back
            or exists (select from resolutions r
                where r.entry_id = w.entry_id and r.state in ('waiting', 'asked') and not r.scheduled)))
    -- with what was decided in the same moment because of it
    and not (decided_at >= %(before)s and (rule like 'resolved-by-person%%' or state = 'verified'
        and exists (select from claims r where r.key = claims.key and r.decided_at = claims.decided_at
            and r.rule like 'resolved-by-person%%')))
    -- a plan or a death that matching, or the cases, have not taken: a number that changes meanwhile changes
    -- what is said of it. (A visit is carried over by matching itself)
    and not (state = 'verified' and received_at >= %(untaken)s and coalesce(version, 1) > 0 and case event_kind
        when 'attendance' then false
        when 'flag' then not exists (select from flag_events f
            where f.reported_event_id = claims.reported_event_id and f.revision >= claims.revision)
        else not exists (select from case_messages m
            where m.reported_event_id = claims.reported_event_id and m.revision >= claims.revision) end)

-- name: forget
-- Who is not traced leaves nothing, save that a notification was taken back: its earlier versions may come late
delete from claims where received_at < %(before)s and state in ('not_traced', 'not_used')
    and rule <> 'death-voided'
