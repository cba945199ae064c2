-- name: successors
select person, successor from number_successors where person = any(%(persons)s::text[])

-- name: stands_again
-- A number that stands is nobody's old one, and active
with back as (delete from inactive_numbers where person = any(%(persons)s::text[]))
delete from number_successors where person = any(%(persons)s::text[])

-- name: shorten
update number_successors set successor = %(successor)s, since = %(at)s where successor = %(person)s

-- name: supersede
insert into number_successors (person, successor, since) values (%(person)s, %(successor)s, %(at)s)
on conflict (person) do update set successor = excluded.successor, since = excluded.since

-- name: unlink
-- What leads to an invalidated number, or from it, is forgotten: nothing stays beside it
delete from number_successors where successor = %(person)s or person = %(person)s
returning person

-- name: invalidate
insert into inactive_numbers (person, since)
select one, %(at)s from unnest(%(persons)s::text[]) as given (one)
on conflict (person) do nothing

-- name: inactive
select person from inactive_numbers where person = any(%(persons)s::text[])

-- name: changed_at
select max(since) as at from (
    select since from number_successors where person = %(person)s
    union all
    select since from inactive_numbers where person = %(person)s) as changes

-- name: count_inactive
select count(*) as amount from inactive_numbers

-- name: forget_person
delete from identities where person = %(person)s

-- name: move_alerts
update alerts set person = %(successor)s where person = %(person)s

-- name: move_deliveries
-- What has not left asks by its person whether it may: a restriction of the successor holds it up
update deliveries set person = %(successor)s
where delivery_id in (
    select delivery_id from deliveries
    where person = %(person)s and state in ('open', 'held', 'parked', 'refused')
    order by delivery_id for update)

-- name: move_notices
update access_notices set person = %(successor)s where person = %(person)s

-- name: move_held_letters
update held_letters set person = %(successor)s where person = %(person)s and state = 'held'

-- name: move_taken_back
with visits as (
    update visit_events set person = %(successor)s where person = %(person)s and retracted
)
update flag_events set person = %(successor)s where person = %(person)s and retracted

-- name: empty_visit_event
-- Of whom it was stands nowhere any more; what happened still happened
update visit_events
set revision = greatest(revision, %(revision)s), retracted = true, person = %(nobody)s,
    source_patient = %(nobody)s, event = %(event)s
where reported_event_id = %(reported_event_id)s

-- name: empty_visits
-- Visits of which retention has left no event
with named as (update visits set person = null where person = %(person)s)
update visits set also = null, also_restricted = false where also = %(person)s

-- name: empty_flag_events
update flag_events
set revision = greatest(revision, coalesce((
        select given.revision from unnest(%(ids)s::uuid[], %(revisions)s::integer[])
            as given (id, revision) where given.id = flag_events.reported_event_id), 0)),
    retracted = true, person = 'none:' || reported_event_id, nhs_number = '', birth_date = null,
    local_id = null, phone_office = null, phone_emergency = null
where person = %(person)s

-- name: empty_alerts
-- They were told and stay; no visit and no patient of theirs leads to the life that goes on
update alerts set visit_ids = '{}', source_patient = '' where person = %(person)s

-- name: end_deliveries
-- Looks at the old record are told to nobody any more; alerts and their answers go where they were to go
update deliveries set state = 'superseded', done_at = %(at)s, lease_until = null
where delivery_id in (
    select delivery_id from deliveries
    where person = %(person)s and kind not in ('alert', 'match', 'receipt')
        and (state in ('open', 'held', 'parked') or state = 'refused' and last_error like 'policy:%%')
    order by delivery_id for update)

-- name: end_held_letters
update held_letters set state = 'superseded', done_at = %(at)s
where person = %(person)s and state = 'held' and case_id is null

-- name: settle_entries
-- PDS's record is well: nobody need look at the plans any more, and what comes later is new
update worklist set closed_at = coalesce(closed_at, %(at)s), cause = null,
    closed_rule = case when closed_at is null then %(rule)s else closed_rule end,
    claim = null, candidates = '[]', next_try_at = null,
    claimed_by = null, claimed_name = null, claimed_until = null
where reported_event_id in (
        select reported_event_id from flag_events where person = %(person)s
        union all  -- what matching has not taken yet
        select reported_event_id from claims where person = %(person)s and event_kind = 'flag'
            and (event is not null or event_kind <> 'attendance'))
    and rule = any(%(rules)s::text[]) and (closed_at is null or cause is not null)
    and organisation <> all(%(but)s::text[])

-- name: told_already
select letter_id from letters where letter_id = any(%(ids)s::uuid[])
union all
select letter_id from letters_gone where letter_id = any(%(ids)s::uuid[])
union all
select letter_id from held_letters where letter_id = any(%(ids)s::uuid[])

-- name: close_alerts
update alerts
set state = 'closed', closed_at = %(at)s, version = version + 1, changed_at = greatest(changed_at, %(at)s)
where visit_ids = '{}' and state = 'raised' and arrival_received_at < %(before)s

-- name: move_indications
update case_indications set person = %(successor)s where person = %(person)s

-- name: move_prompts
update death_prompts set person = %(successor)s where person = %(person)s

-- name: find_prompts
-- What is indicated or notified of the successor later finds what was asked under the old number
insert into death_prompt_tokens (token, prompt_id)
select 'person:' || %(successor)s::text, prompt_id from death_prompt_tokens
where token = 'person:' || %(person)s::text
on conflict do nothing

-- name: find_notified
insert into death_notified_tokens (token, case_id)
select 'person:' || %(successor)s::text, case_id from death_notified_tokens
where token = 'person:' || %(person)s::text
on conflict do nothing

-- name: visits_naming
select visit_id, source_patient from visits where person = %(person)s
union
select visit_id, source_patient from visits where also = %(person)s
union
select visit_id, source_patient from visits
where visit_id = any(array(select unnest(visit_ids) from alerts where person = %(person)s))
union
select visit_id, source_patient from visits
where visit_id = any(array(select visit_id from visit_events where person = %(person)s and retracted))

-- name: visit_events_naming
select reported_event_id from visit_events
where visit_id = any(%(visits)s::uuid[]) and person = %(person)s and not retracted

-- name: uploads_of
select reported_event_id, upload_id, local_id from upload_answers
where reported_event_id = any(%(ids)s::uuid[])

-- name: claims_naming
select reported_event_id, key, visit_id, event_kind, state, event is not null as readable
from claims
where person = %(person)s and (event is not null or event_kind <> 'attendance')
order by position

-- name: death_messages
select event from case_messages where reported_event_id = any(%(ids)s::uuid[])

-- name: open_cases
select case_id, panel from cases where person = %(person)s and state = 'OPEN' order by case_id

-- name: open_visits
select distinct on (v.hospital, v.visit_id) v.hospital, v.visit_id, v.source_patient
from visits v
where v.person = %(person)s and v.live and not v.birth
    -- not every hospital says that somebody has left
    and (v.received_at > %(since)s or v.state = 'present' and v.heard_until > %(heard)s)
order by v.hospital, v.visit_id

-- name: lapsed
-- Flagged people of whom PDS was not asked for long, the longest ago first
select i.person, i.nhs_number,
    (select f.authority from flags f where f.person = i.person order by f.authority limit 1) as authority
from identities i
where i.flagged and greatest(i.verified_at, coalesce(i.asked_at, i.verified_at)) < %(before)s
order by greatest(i.verified_at, coalesce(i.asked_at, i.verified_at))
limit %(limit)s

-- name: asked
update identities set asked_at = %(at)s where person = any(%(persons)s::text[])

-- name: flagged
select count(*) as amount from identities where flagged

-- name: purge_successors
-- An old number leads to somebody only as long as the hub may know them
delete from number_successors old
where not exists (select from identities i where i.person = old.successor)
    and not exists (select from flags f where f.person = old.successor)

-- name: purge_inactive
delete from inactive_numbers where since < %(before)s
