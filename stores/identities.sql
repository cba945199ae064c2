-- name: known
select person, nhs_number, names, birth_date, gender, postcode, restricted, deceased,
       demographic_tokens, verified_at, flagged, flagged_at, keep_until,
       array(select old.person from number_successors old where old.successor = identities.person) as former
from identities
where person = any(%(persons)s::text[]
    || array(select old.successor from number_successors old where old.person = any(%(persons)s::text[])))
union
select person, nhs_number, names, birth_date, gender, postcode, restricted, deceased,
       demographic_tokens, verified_at, flagged, flagged_at, keep_until,
       array(select old.person from number_successors old where old.successor = identities.person) as former
from identities
where flagged and person in
    (select person from identity_demographics where token = any(%(demographics)s::text[]))
order by person

-- name: tokens
select person, demographic_tokens from identities where person = any(%(persons)s::text[]
    || array(select old.successor from number_successors old where old.person = any(%(persons)s::text[])))
union
select person, demographic_tokens from identities
where flagged and person in
    (select person from identity_demographics where token = any(%(demographics)s::text[]))

-- name: heard_since
-- When the index last took PDS's word of a person, if that was not before the question was taken to be asked
select heard_at from identities where person = %(person)s and heard_at >= %(at)s

-- name: restricted
select person from unnest(%(persons)s::text[]) as wanted (person) where is_restricted(person)

-- name: put
insert into identities as known (person, nhs_number, names, birth_date, gender, postcode, restricted,
    deceased, demographic_tokens, verified_at, flagged, flagged_at, keep_until, heard_at)
select person, nhs_number, names, birth_date, gender, postcode, restricted,
    deceased, demographic_tokens, verified_at, flagged, flagged_at, keep_until, clock_timestamp()
from jsonb_to_recordset(%(rows)s::jsonb) as given (person text, nhs_number text, names jsonb,
    birth_date text, gender text, postcode text, restricted boolean, deceased boolean,
    demographic_tokens text[], verified_at timestamptz, flagged boolean, flagged_at timestamptz,
    keep_until timestamptz)
order by person
on conflict (person) do update set
    names = excluded.names,
    birth_date = excluded.birth_date,
    gender = excluded.gender,
    postcode = excluded.postcode,
    restricted = excluded.restricted,
    deceased = excluded.deceased,
    demographic_tokens = excluded.demographic_tokens,
    -- who is only kept for longer was not heard of
    heard_at = case when (known.verified_at, known.restricted, known.deceased, known.birth_date, known.names)
        is distinct from (excluded.verified_at, excluded.restricted, excluded.deceased, excluded.birth_date,
            excluded.names)
        then excluded.heard_at else known.heard_at end,
    verified_at = greatest(known.verified_at, excluded.verified_at),
    flagged = known.flagged or excluded.flagged,
    flagged_at = greatest(known.flagged_at, excluded.flagged_at),
    keep_until = greatest(known.keep_until, excluded.keep_until)

-- name: drop_tokens
delete from identity_demographics as held
using jsonb_to_recordset(%(rows)s::jsonb) as given (person text, demographic_tokens text[])
where held.person = given.person and held.token <> all(given.demographic_tokens)

-- name: put_tokens
insert into identity_demographics (token, person)
select token, person
from jsonb_to_recordset(%(rows)s::jsonb) as given (person text, demographic_tokens text[]),
    unnest(given.demographic_tokens) as token
order by token, person
on conflict do nothing

-- name: unflag_ended
-- A plan is shown for a year after its end; what matching has not folded yet is left alone
update identities as known set flagged = false, keep_until = %(now)s::timestamptz
where flagged and flagged_at < %(now)s::timestamptz - interval '1 day'
    and exists (select from flag_events where flag_events.person = known.person)
    and not exists (select from flags where flags.person = known.person
        and (flags.end_date is null or flags.end_date >= (%(now)s::timestamptz - interval '365 days')::date))
    -- a plan that matching has not taken yet
    and not exists (select from claims where claims.person = known.person and claims.event is not null
        and claims.event_kind = 'flag' and claims.state = 'verified'
        and not exists (select from flag_events where flag_events.reported_event_id = claims.reported_event_id
            and flag_events.revision >= claims.revision))

-- name: purge
delete from identities as known
where keep_until <= %(now)s::timestamptz
    and not exists (select from claims where claims.person = known.person and claims.state = 'provisional')
    and not exists (select from claims where claims.person = known.person and claims.state = 'verified'
        and claims.event_kind <> 'flag' and claims.received_at > %(now)s::timestamptz - interval '48 hours')
    -- what a person resolved lately may be taken back, and what stands of an unresolved claim too
    and not exists (select from claims where claims.person = known.person and claims.event is not null
        and (claims.state = 'unresolved' or claims.rule like 'resolved-by-person%%'
            and claims.decided_at > %(now)s::timestamptz - interval '48 hours'))
    -- who has a case is known as long as it is open: later messages about the death are told of them
    and not exists (select from cases where cases.person = known.person and cases.state = 'OPEN')
    -- or has, under a number of before, which the cases have not carried over yet
    and not exists (select from number_successors old join cases on cases.person = old.person
        where old.successor = known.person and cases.state = 'OPEN')
    -- a death that the cases have not taken yet (of an indication they keep no message: version 0)
    and not exists (select from claims where claims.person = known.person and claims.event is not null
        and claims.event_kind in ('death', 'report') and claims.state = 'verified' and claims.version > 0
        and not exists (select from case_messages where case_messages.reported_event_id = claims.reported_event_id
            and case_messages.revision >= claims.revision))

-- name: held
-- How many people are known, and how many of them for no reason that the index may have. An hour
-- more is given to visits (a person is not written anew for each event of one), and to purging
select count(*) as people, count(*) filter (where
    not exists (select from claims where claims.person = known.person and claims.state = 'provisional')
    and not exists (select from claims where claims.person = known.person and claims.state = 'verified'
        and claims.event_kind <> 'flag' and claims.received_at > %(now)s::timestamptz - interval '49 hours')
    -- resolved lately by a person, or standing of an unresolved claim: it may be taken back
    and not exists (select from claims where claims.person = known.person and claims.event is not null
        and (claims.state = 'unresolved' or claims.rule like 'resolved-by-person%%'
            and claims.decided_at > %(now)s::timestamptz - interval '49 hours'))
    and not exists (select from flags where flags.person = known.person
        and (flags.end_date is null or flags.end_date >= (%(now)s::timestamptz - interval '365 days 2 hours')::date))
    -- a plan that matching has not folded yet
    and not (flagged and (flagged_at > %(now)s::timestamptz - interval '25 hours'
        or not exists (select from flag_events where flag_events.person = known.person)))
    and not (flagged and exists (select from claims where claims.person = known.person
        and claims.event is not null and claims.event_kind = 'flag' and claims.state = 'verified'
        and not exists (select from flag_events where flag_events.reported_event_id = claims.reported_event_id
            and flag_events.revision >= claims.revision)))
    and not exists (select from cases where cases.person = known.person and cases.state = 'OPEN')
    and not exists (select from number_successors old join cases on cases.person = old.person
        where old.successor = known.person and cases.state = 'OPEN')
    -- a death that the cases have not taken yet (of an indication they keep no message: version 0)
    and not exists (select from claims where claims.person = known.person and claims.event is not null
        and claims.event_kind in ('death', 'report') and claims.state = 'verified' and claims.version > 0
        and not exists (select from case_messages where case_messages.reported_event_id = claims.reported_event_id
            and case_messages.revision >= claims.revision))
) as without_reason
from identities as known
