-- name: add
insert into letters (
    letter_id, organisation, kind, about, message_id, case_id, body, needs_acknowledgement,
    created_at, endpoint, push, traceparent
)
select
    %(letter_id)s, %(organisation)s, %(kind)s, %(about)s, %(message_id)s, %(case_id)s, %(body)s,
    %(needs_acknowledgement)s, %(created_at)s, %(endpoint)s,
    case when %(endpoint)s::text is not null then 'pending' end, %(traceparent)s
-- one that was there and is old is not sent again
where not exists (select from letters_gone where letter_id = %(letter_id)s)
-- no column named: whoever names one must be let see the row (the face writes letters to others)
on conflict do nothing

-- name: hint
select pg_notify('halyard_letters', '')

-- name: page
-- Only what no running transaction can precede any more (correctness rule 20). A page is cut at its
-- bytes too, but has at least one letter
with listed as (
    select letter_id, organisation, kind, about, message_id, case_id, body, needs_acknowledgement,
           created_at, acknowledged_at, fetched_at, added_xid, position
    from letters
    where organisation = %(organisation)s
        and added_xid < pg_snapshot_xmin(pg_current_snapshot())
        and (not %(unacknowledged)s or acknowledged_at is null)
        and (%(after_xid)s::xid8 is null
            or (added_xid, position) > (%(after_xid)s::xid8, %(after_position)s::bigint))
    order by added_xid, position
    limit %(limit)s + 1
),
sized as (
    select *, sum(length(body)) over (order by added_xid, position) as bytes,
           row_number() over (order by added_xid, position) as row,
           count(*) over () as found
    from listed
)
select * from sized
where row = 1 or (row <= %(limit)s and bytes <= %(bytes)s)
order by added_xid, position

-- name: get
select letter_id, organisation, kind, about, message_id, case_id, body, needs_acknowledgement,
       created_at, acknowledged_at, fetched_at
from letters where organisation = %(organisation)s and letter_id = %(letter_id)s

-- name: fetched
-- In one order: two readers of one page must not wait for each other. What is not there any more was
-- taken back as it was read
with mine as (
    select letter_id from letters
    where organisation = %(organisation)s and letter_id = any(%(ids)s::uuid[])
    order by letter_id
    for update
)
update letters l set fetched_at = coalesce(l.fetched_at, now())
from mine
where l.letter_id = mine.letter_id
returning l.letter_id

-- name: take_back
-- Nobody has read it, and no push has succeeded; after an attempt the receiver may have it all the same
with gone as (
    delete from letters
    where letter_id = any(%(ids)s::uuid[]) and fetched_at is null and acknowledged_at is null
        and push is distinct from 'pushed'
    returning letter_id, organisation, kind, case_id, attempts
),
kept as (
    insert into letters_gone (letter_id, organisation, kind, case_id)
    select letter_id, organisation, kind, case_id from gone
    on conflict (letter_id) do nothing
)
select letter_id from gone where attempts = 0

-- name: answers_to
-- The newest first, up to a bound; whoever wants all reads the list
select letter_id, organisation, kind, about, message_id, case_id, body, needs_acknowledgement,
       created_at, acknowledged_at, fetched_at
from letters
where organisation = %(organisation)s
    and (message_id = %(answered)s or about = %(receipt)s::uuid)
order by added_xid desc, position desc
limit %(limit)s

-- name: acknowledge
update letters set acknowledged_at = coalesce(acknowledged_at, %(at)s)
where organisation = %(organisation)s and letter_id = %(letter_id)s
returning letter_id

-- name: unacknowledged
select organisation, kind, letter_id from letters
where case_id = %(case_id)s and needs_acknowledgement and acknowledged_at is null
order by organisation, position

-- name: claim
-- Of an endpoint's letters to one organisation only the oldest that is pending: what cannot be
-- delivered holds back those behind it, and nothing else. One that has failed for very long, in a way
-- that may be its own fault, is stepped past until another goes through, which tells: then it is tried
-- once more (`overtaken`). The pairs are found by skipping through the
-- index, so that a long queue costs the others nothing
with recursive pair (endpoint, organisation) as (
    (select endpoint, organisation from letters where push = 'pending'
     order by endpoint, organisation limit 1)
    union all
    select following.endpoint, following.organisation
    from pair p
    cross join lateral (
        select l.endpoint, l.organisation from letters l
        where l.push = 'pending' and (l.endpoint, l.organisation) > (p.endpoint, p.organisation)
        order by l.endpoint, l.organisation limit 1
    ) as following
),
head as (
    select coalesce(
        (
            select l.letter_id from letters l
            where l.push = 'pending' and l.endpoint = p.endpoint and l.organisation = p.organisation
                and not (
                    l.attempts >= %(stuck)s and l.last_error ~ '^(status-.*|broken|timeout)$'
                    and not exists (
                        select from letters o
                        where o.push = 'pushed' and o.endpoint = l.endpoint
                            and o.organisation = l.organisation and o.position > l.position
                    )
                )
            order by l.position limit 1
        ),
        (
            select l.letter_id from letters l
            where l.push = 'pending' and l.endpoint = p.endpoint and l.organisation = p.organisation
            order by l.position limit 1
        )
    ) as letter_id
    from pair p
),
due as (
    select l.letter_id
    from letters l join head using (letter_id)
    where l.push = 'pending' and l.due_at <= now()
        and (l.lease_until is null or l.lease_until < now())
        and l.letter_id <> all(%(held)s::uuid[])
    order by l.due_at, l.position
    limit %(room)s
    for update of l skip locked
)
update letters l
set lease_until = now() + make_interval(secs => %(lease)s), attempts = l.attempts + 1
from due
where l.letter_id = due.letter_id
returning l.letter_id, l.organisation, l.kind, l.endpoint, l.body, l.attempts, l.traceparent

-- name: pushed
-- Whoever got the receiver's yes may say so, also after its lease: it is true
update letters set push = 'pushed', pushed_at = now(), lease_until = null, last_error = null
where letter_id = %(letter_id)s and push = 'pending'

-- name: recall
-- What was stepped past is tried again at once
update letters l set due_at = now()
from letters o
where o.letter_id = %(letter_id)s and l.push = 'pending' and l.endpoint = o.endpoint
    and l.organisation = o.organisation and l.position < o.position and l.attempts >= %(stuck)s

-- name: overtaken
select exists (
    select from letters l
    join letters o on o.endpoint = l.endpoint and o.organisation = l.organisation
    where l.letter_id = %(letter_id)s and o.push = 'pushed' and o.position > l.position
) as overtaken

-- name: again
-- Only by the attempt that holds the lease: a later one may be under way
update letters
set lease_until = null, last_error = %(reason)s, due_at = now() + make_interval(secs => %(seconds)s)
where letter_id = %(letter_id)s and push = 'pending' and attempts = %(attempts)s

-- name: park
update letters set push = 'parked', lease_until = null, last_error = %(reason)s
where letter_id = %(letter_id)s and push = 'pending' and attempts = %(attempts)s

-- name: waiting
select (select count(*) from letters where push = 'parked') as parked,
       (select coalesce(extract(epoch from now() - min(created_at)), 0)
        from letters where push = 'pending') as oldest_seconds,
       (select count(*) from letters
        where needs_acknowledgement and acknowledged_at is null) as awaited

-- name: purge
-- What must be acknowledged is kept until it is; of the rest it stays known that it was sent
with gone as (
    delete from letters
    where letter_id in (
        select letter_id from letters
        where created_at < now() - make_interval(days => %(days)s)
            and (not needs_acknowledgement or acknowledged_at is not null)
            and push is distinct from 'pending'
        order by created_at
        limit %(limit)s
        for update skip locked
    )
    returning letter_id, organisation, kind, case_id
)
insert into letters_gone (letter_id, organisation, kind, case_id)
select letter_id, organisation, kind, case_id from gone
on conflict (letter_id) do nothing
