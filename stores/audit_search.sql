-- name: select
select e.entry_id, e.recorded_at, e.chain, e.body::text as body, s.seq, s.hash
from audit_entries e
left join audit_seals s on s.entry_id = e.entry_id and s.recorded_at = e.recorded_at
where true

-- name: chain
e.chain = %(chain)s

-- name: actor
e.actor = %(actor)s

-- name: persons
e.person = any(%(persons)s::text[])

-- name: subject
e.body ->> 'subject' = %(subject)s and e.body ? 'subject'

-- name: case_id
e.body ->> 'case_id' = %(case_id)s and e.body ? 'case_id'

-- name: kind
e.body ->> 'kind' = %(kind)s

-- name: flow
e.body ->> 'flow' = %(flow)s

-- name: decision
e.body ->> 'decision' = %(decision)s

-- name: since
e.recorded_at >= %(since)s

-- name: until
e.recorded_at < %(until)s

-- name: entry_id
e.entry_id = %(entry_id)s

-- name: after
(e.recorded_at, e.entry_id) < (%(after_at)s::timestamptz, %(after_id)s::uuid)

-- name: order
order by e.recorded_at desc, e.entry_id desc limit %(limit)s
