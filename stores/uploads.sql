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
update uploads set expected = %(expected)s where upload_id = %(upload_id)s

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
select upload_id, authority, sequence, received_at, expected,
       (select count(*) from upload_answers where upload_answers.upload_id = uploads.upload_id
            and code is not null) as answered
from uploads where upload_id = %(upload_id)s

-- name: answers
select upload_id, line, reported_event_id, local_id, code, detail, answered_at
from upload_answers
where upload_id = %(upload_id)s and line > %(after)s
order by line
limit %(limit)s
