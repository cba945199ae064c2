-- name: register_uploads
insert into uploads (upload_id, authority, sequence, received_at)
select distinct on (upload_id) upload_id, authority, sequence, received_at
from unnest(%(uploads)s::uuid[], %(authorities)s::text[], %(sequences)s::bigint[],
    %(received)s::timestamptz[]) as given (upload_id, authority, sequence, received_at)
order by upload_id
on conflict do nothing

-- name: register_lines
insert into upload_answers (upload_id, line, reported_event_id, local_id)
select upload_id, line, event_id, local_id
from unnest(%(uploads)s::uuid[], %(lines)s::integer[], %(events)s::uuid[], %(local_ids)s::text[])
    as given (upload_id, line, event_id, local_id)
order by upload_id, line, event_id
on conflict do nothing

-- name: owners
select upload_answers.upload_id, upload_answers.line, upload_answers.reported_event_id
from upload_answers
join unnest(%(uploads)s::uuid[], %(lines)s::integer[]) as given (upload_id, line)
    on given.upload_id = upload_answers.upload_id and given.line = upload_answers.line

-- name: expect
-- a file that was refused as a whole gives its sequence back; one that comes under the sequence of a
-- file that was taken changes nothing of that one's answers
update uploads set expected = %(expected)s, refused = %(refused)s, file_format = %(format)s,
    file_rule = %(rule)s::text,
    reused = reused or coalesce(file_digest <> %(digest)s::text, false),
    file_digest = coalesce(file_digest, %(digest)s::text)
where upload_id = %(upload_id)s
    and (%(rule)s::text is null or file_rule is not null or expected is null)

-- name: answer
update upload_answers set code = given.code, detail = given.detail, answered_at = %(now)s
from unnest(%(events)s::uuid[], %(codes)s::text[], %(details)s::text[]) as given (event_id, code, detail)
where reported_event_id = given.event_id

-- name: take_over
update upload_answers set reported_event_id = %(event_id)s, code = %(code)s, answered_at = %(now)s,
    detail = case
        when code is null then %(detail)s::text
        when detail like %(detail)s::text || '%%' then detail
        else %(detail)s::text || '; what was sent first was answered ' || code end
where upload_id = %(upload_id)s and line = %(line)s

-- name: upload
-- A sequence that is no time of receipt was given by the sender. What was missing may come yet, so
-- repeats and gaps are told as they stand when asked
select u.upload_id, u.authority, u.sequence, u.received_at, u.expected, u.refused, u.file_format,
    u.file_rule, u.reused,
    (select earlier.upload_id from uploads earlier
     where earlier.authority = u.authority and earlier.file_digest = u.file_digest
        and earlier.received_at > u.received_at - interval '30 days'
        and (earlier.received_at, earlier.upload_id) < (u.received_at, u.upload_id)
        and earlier.expected + earlier.refused > 0
     order by earlier.received_at desc limit 1) as repeat_of,
    sent.sequence as sender_sequence,
    (select max(other.sequence) from uploads other
     where other.authority = u.authority and other.sequence < sent.sequence
        and other.sequence <> (extract(epoch from other.received_at) * 1000000)::bigint)
        as sequence_before,
    exists (select from uploads other
     where other.authority = u.authority and other.sequence > sent.sequence
        and other.received_at < u.received_at
        and other.sequence <> (extract(epoch from other.received_at) * 1000000)::bigint) as late,
    exists (select from pds_ration where breaker_until is not null) as pds_away
from uploads u
left join lateral (select u.sequence
    where u.sequence <> (extract(epoch from u.received_at) * 1000000)::bigint) as sent on true
where u.upload_id = %(upload_id)s

-- name: counts
select code, count(*) as amount,
    count(*) filter (where code in ('CPR05', 'CPR06')
        or code = 'CPR02' and detail not like 'not held%%') as held
from upload_answers
where upload_id = %(upload_id)s and code is not null
group by code

-- name: answers
select upload_id, line, a.reported_event_id, local_id, code, detail, answered_at, c.person
from upload_answers a
left join claims c using (reported_event_id)
where upload_id = %(upload_id)s and line > %(after)s
order by line
limit %(limit)s

-- name: expire
update upload_answers set detail = %(detail)s, answered_at = %(now)s
where reported_event_id = any(%(events)s::uuid[]) and code is not null
