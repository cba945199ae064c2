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

-- name: restricted
(e.body -> 'detail' ->> 'restricted' = 'yes' or e.body -> 'detail' ->> 'person' = 'restricted')

-- name: after
(e.recorded_at, e.entry_id) < (%(after_at)s::timestamptz, %(after_id)s::uuid)

-- name: order
order by e.recorded_at desc, e.entry_id desc limit %(limit)s

-- name: chains
-- Each by one step along an index, however many entries there are; also those of which a place or a
-- checkpoint alone is left
with recursive
    entries (chain) as (
        select min(chain) from audit_entries
        union all
        select (select min(e.chain) from audit_entries e where e.chain > entries.chain)
        from entries where entries.chain is not null
    ),
    seals (chain) as (
        select min(chain) from audit_seals
        union all
        select (select min(s.chain) from audit_seals s where s.chain > seals.chain)
        from seals where seals.chain is not null
    ),
    checkpoints (chain) as (
        select min(chain) from audit_checkpoints
        union all
        select (select min(c.chain) from audit_checkpoints c where c.chain > checkpoints.chain)
        from checkpoints where checkpoints.chain is not null
    )
select chain from (
    select chain from entries union select chain from seals union select chain from checkpoints
) as every
where chain is not null order by chain
