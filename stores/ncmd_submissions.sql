-- A row with a body was claimed: its message may be on its way, before an attempt is counted
-- name: supersede
update ncmd.submissions set state = 'superseded'
where case_id = any(%(case_ids)s) and state = 'pending' and attempts = 0 and body is null

-- name: file
insert into ncmd.submissions (case_id, version, voided, state, due_at, filed_at)
select c, v, d, 'pending', %(now)s, %(now)s
from unnest(%(case_ids)s::uuid[], %(versions)s::integer[], %(voided)s::boolean[]) as n (c, v, d)
on conflict (case_id, version) do nothing

-- The oldest open row of a case and no other: what is under way is settled first
-- name: claim
with due as (
    select s.case_id, s.version
    from ncmd.submissions s
    where s.state in ('pending', 'sent') and s.due_at <= %(now)s
        and not exists (
            select 1 from ncmd.submissions o
            where o.case_id = s.case_id and o.version < s.version and o.state in ('pending', 'sent')
        )
    order by s.due_at
    limit %(limit)s
    for update of s skip locked
)
update ncmd.submissions s set due_at = %(until)s
from due
where s.case_id = due.case_id and s.version = due.version
    and s.state in ('pending', 'sent') and s.due_at <= %(now)s
returning s.case_id, s.version, s.voided, s.message_id, s.kind, s.body, s.state, s.attempts,
    s.round, s.sent_at,
    (select h.content from ncmd.history h
     where h.case_id = s.case_id and h.version = s.version and s.body is null) as content,
    (select a.kind from ncmd.submissions a
     where a.case_id = s.case_id and a.version < s.version and a.state = 'acknowledged'
     order by a.version desc limit 1) as before

-- name: keep_message
update ncmd.submissions set message_id = %(message_id)s, kind = %(kind)s, body = %(body)s
where case_id = %(case_id)s and version = %(version)s

-- name: settle
update ncmd.submissions set
    state = %(state)s,
    attempts = attempts + %(tried)s,
    due_at = coalesce(%(due_at)s, due_at),
    last_reason = %(reason)s,
    sent_at = case when %(state)s = 'sent' then coalesce(%(sent_at)s, sent_at) end,
    answered_at = case when %(state)s in ('acknowledged', 'rejected') then %(now)s end
where case_id = %(case_id)s and version = %(version)s and state in ('pending', 'sent')

-- name: overtake
update ncmd.submissions s set state = 'superseded', last_reason = %(reason)s
where s.state in ('failed', 'rejected') and (%(case_id)s::uuid is null or s.case_id = %(case_id)s)
    and exists (
        select 1 from ncmd.submissions o where o.case_id = s.case_id and o.version > s.version
    )
returning case_id, version

-- A refused message gets another id, one without an answer keeps its own
-- name: reopen
update ncmd.submissions set
    round = round + case when state = 'rejected' then 1 else 0 end,
    message_id = case when state = 'rejected' then null else message_id end,
    body = case when state = 'rejected' then null else body end,
    state = 'pending', attempts = 1, due_at = %(now)s, last_reason = %(reason)s, answered_at = null
where state in ('failed', 'rejected') and (%(case_id)s::uuid is null or case_id = %(case_id)s)
returning case_id, version

-- name: unsettled
select case_id, version, kind, state, attempts, due_at, last_reason from ncmd.submissions
where state in ('failed', 'rejected', 'sent') or (state = 'pending' and attempts > 0)
order by due_at limit %(limit)s

-- name: open_counts
select state, count(*) as n from ncmd.submissions
where state in ('pending', 'sent', 'failed', 'rejected') group by state
