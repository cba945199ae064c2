-- name: next_lines
-- Of each running batch its first lines that wait, one for each question that is not before PDS. Of an
-- organisation's files no more than its room before PDS, by turns: the first line of each file, then the
-- second, and so on. Of persons no more than theirs, by turns of organisations
with asked as (
    select b.organisation, b.kind, i.trace_id
    from trace_items i join trace_batches b using (batch_id)
    where i.state = 'asked'
    group by b.organisation, b.kind, i.trace_id
), busy as (
    select organisation, count(*) as amount from asked where kind = 'file' group by organisation
), firsts as (
    select b.batch_id, b.organisation, b.kind, b.made_at, w.question, w.line
    from trace_batches b
    cross join lateral (
        select f.question, min(f.line) as line
        from (select i.question, i.line from trace_items i
              where i.batch_id = b.batch_id and i.state = 'waiting'
                  and not exists (select from trace_items live
                      where live.batch_id = i.batch_id and live.question = i.question and live.state = 'asked'
                      offset 0) -- one look a line: as a join it would read all that wait
              order by i.line limit %(most)s) f
        group by f.question
    ) w
    where b.state = 'running'
), turns as (
    select f.*, row_number() over (partition by f.batch_id order by f.line) as turn from firsts f
), places as (
    select t.*, row_number() over (partition by t.organisation, t.kind
        order by t.turn, t.made_at, t.batch_id) as place
    from turns t
), ranks as (
    select p.*, row_number() over (partition by p.kind order by p.place, p.made_at, p.batch_id) as rank
    from places p
)
select p.batch_id, p.organisation, p.kind, p.line, p.question, i.claim
from ranks p
join trace_items i on i.batch_id = p.batch_id and i.line = p.line
left join busy on busy.organisation = p.organisation
where case p.kind
    when 'person' then p.rank <= %(persons)s - (select count(*) from asked where kind = 'person')
    else p.place <= %(most)s - coalesce(busy.amount, 0) end
order by p.turn, p.made_at, p.batch_id

-- name: details_said
-- Different details beside this number: in the batch, and in what the organisation had compared since then
select count(*) as amount from (
    select details from trace_items
    where batch_id = %(batch_id)s and question = %(question)s and details is not null
    union
    select details from trace_numbers
    where organisation = %(organisation)s and number_token = %(number_token)s and said_at > %(since)s
) said

-- name: say_details
insert into trace_numbers (organisation, number_token, details, said_at)
select distinct %(organisation)s::text, %(number_token)s::text, details, %(now)s::timestamptz from trace_items
where batch_id = %(batch_id)s and question = %(question)s and state = 'waiting' and details is not null
on conflict (organisation, number_token, details) do update set said_at = excluded.said_at

-- name: forget_details
delete from trace_numbers where said_at < %(before)s

-- name: end_question
update trace_items set state = 'done', outcome = %(outcome)s, rule = %(rule)s, answered_at = %(now)s, claim = '{}'
where batch_id = %(batch_id)s and line in (
    select line from trace_items
    where batch_id = %(batch_id)s and question = %(question)s and state = 'waiting'
    limit %(limit)s)

-- name: asked
update trace_items set state = 'asked', trace_id = given.trace_id
from unnest(%(batch_ids)s::uuid[], %(questions)s::text[], %(trace_ids)s::uuid[])
    as given (batch_id, question, trace_id)
where trace_items.batch_id = given.batch_id and trace_items.question = given.question
    and trace_items.state = 'waiting'

-- name: hold_batch
select batch_id, organisation, kind, state, purpose, lines, answered, counts
from trace_batches where batch_id = %(batch_id)s and emptied_at is null
for update

-- name: asked_items
select line, claim, basis from trace_items
where batch_id = %(batch_id)s and trace_id = %(trace_id)s and state = 'asked'
order by line

-- name: answer
update trace_items set state = 'done', trace_id = null, outcome = given.outcome, rule = given.rule,
    nhs_number = given.nhs_number, person = given.person, restricted = given.restricted,
    fields = given.fields, answered_at = %(now)s,
    claim = case when given.keep then claim else '{}'::jsonb end
from jsonb_to_recordset(%(answers)s) as given (line integer, outcome text, rule text, nhs_number text,
    person text, restricted boolean, fields jsonb, keep boolean)
where trace_items.batch_id = %(batch_id)s and trace_items.line = given.line

-- name: progress
update trace_batches set answered = %(answered)s, counts = %(counts)s, state = %(state)s,
    done_at = case when %(state)s = 'done' and state <> 'done' then %(now)s else done_at end
where batch_id = %(batch_id)s

-- name: ask_again
-- A number of a trace file: the line is asked of PDS by it
update trace_items set state = 'waiting', trace_id = null, outcome = null, rule = null, answered_at = null,
    fields = null, basis = 'trace-file', question = given.question, number_token = given.number_token,
    details = given.details, claim = given.claim
from jsonb_to_recordset(%(items)s) as given (line integer, question text, number_token text, details text,
    claim jsonb)
where trace_items.batch_id = %(batch_id)s and trace_items.line = given.line

-- name: end_persons
-- Traces of one person that are past their time, answered or not: nobody is told of them any more
update trace_batches set emptied_at = %(now)s, reason = null,
    done_at = coalesce(done_at, %(now)s), state = case when state = 'done' then state else 'cancelled' end
where kind = 'person' and emptied_at is null and made_at < %(before)s

-- name: end_cancelled
update trace_batches set emptied_at = %(now)s, reason = null
where state = 'cancelled' and emptied_at is null

-- name: stop_requests
-- Also of one that a tracer is asking at this moment: its answer finds nobody
update trace_requests set state = 'cancelled', claim = '{}', lease_until = null, done_at = now()
where state in ('queued', 'leased') and trace_id in (
    select i.trace_id from trace_batches b join trace_items i using (batch_id)
    where b.emptied_at is not null and not b.cleared and i.state = 'asked')

-- name: to_clear
select batch_id from trace_batches
where emptied_at is not null and not cleared
order by batch_id limit %(limit)s

-- name: clear_page
with page as materialized (
    select max(line) as last from (select line from trace_items
        where batch_id = %(batch_id)s and line > %(after)s order by line limit %(limit)s) lines
), emptied as (
    update trace_items set state = case when state in ('waiting', 'asked') then 'cancelled' else state end,
        question = null, trace_id = null, number_token = null, details = null, local_id = null, claim = '{}',
        nhs_number = null, fields = null, person = null
    where batch_id = %(batch_id)s and line > %(after)s and line <= (select last from page)
)
select last from page

-- name: cleared
update trace_batches set cleared = true where batch_id = %(batch_id)s

-- name: drop_broken
update trace_batches set state = 'dropped' where state = 'loading' and made_at < %(loading_before)s

-- name: to_remove
-- A file that broke off or was there already, or one past its retention
select batch_id from trace_batches where state = 'dropped' order by batch_id limit %(limit)s

-- name: remove_page
-- By ranges, going on behind the last: no page reads again what the one before has left behind
with page as materialized (
    select max(line) as last from (select line from trace_items
        where batch_id = %(batch_id)s and line > %(after)s order by line limit %(limit)s) lines
), removed as (
    delete from trace_items
    where batch_id = %(batch_id)s and line > %(after)s and line <= (select last from page)
)
select last from page

-- name: remove
delete from trace_batches where batch_id = %(batch_id)s and state = 'dropped'

-- name: waiting
select coalesce(sum(lines - answered), 0) as waiting from trace_batches where state = 'running'
