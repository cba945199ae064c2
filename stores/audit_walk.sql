-- name: links
-- In the order of the primary key: nothing is sorted, whatever its size
select s.chain, s.seq, s.entry_id, s.recorded_at, s.xid::text as xid, s.prev_hash, s.hash,
    s.sealed_at, e.chain as entry_chain, e.xid::text as entry_xid, e.person as entry_person,
    e.actor as entry_actor, e.body::text as body
from audit_seals s
left join audit_entries e on e.entry_id = s.entry_id and e.recorded_at = s.recorded_at
where %(chain)s::text is null or s.chain = %(chain)s
order by s.chain, s.seq

-- name: link_hashes
select s.chain, s.seq, s.hash
from unnest(%(chains)s::text[], %(seqs)s::bigint[]) as wanted (chain, seq)
join audit_seals s on s.chain = wanted.chain and s.seq = wanted.seq

-- name: checkpoints
select number, chain, kind, seq, at, line from audit_checkpoints
where number > %(after)s order by number limit %(limit)s

-- name: stored_lines
select number, line from audit_checkpoints where number = any(%(numbers)s::bigint[])

-- name: strays
-- Entries that sealing has gone past: whoever wrote them did not do so as the hub does
select e.chain, e.entry_id, e.recorded_at from audit_entries e
where e.xid < (select audit_mark())
    and (%(chain)s::text is null or e.chain = %(chain)s)
    and not exists (
        select 1 from audit_seals s
        where s.entry_id = e.entry_id and s.recorded_at = e.recorded_at
    )
order by e.chain, e.recorded_at
limit %(limit)s

-- name: twice
-- Of one id: an entry that was added again with another time is another place of the same entry
select min(s.chain) as chain, min(s.seq) as first, max(s.seq) as last from audit_seals s
where %(chain)s::text is null or s.chain = %(chain)s
group by s.entry_id having count(*) > 1
order by 1, 3
limit %(limit)s

-- name: outcomes_amiss
-- Outcomes that stand in the chain, against the reviews: gone, or not as they were written
select e.chain, s.seq, r.review_id is null as lost
from audit_entries e
left join audit_reviews r on r.review_id::text = e.body -> 'detail' ->> 'review'
left join audit_seals s on s.entry_id = e.entry_id and s.recorded_at = e.recorded_at
where e.body ->> 'kind' = 'review' and e.body -> 'detail' ->> 'review' is not null
    and (%(chain)s::text is null or e.chain = %(chain)s)
    and (r.review_id is null
        or (r.outcome, r.reviewer, r.note, r.closed_at, r.chain, 'review.' || r.rule,
            'entry:' || r.entry_id)
        is distinct from (e.body -> 'detail' ->> 'outcome', e.actor, e.body ->> 'reason',
            e.recorded_at, e.chain, e.body ->> 'rule', e.body ->> 'subject'))
order by e.chain, s.seq
limit %(limit)s

-- name: outcomes_unrecorded
-- Reviews that are closed, and whose outcome is no entry
select r.chain, r.closed_at from audit_reviews r
where r.closed_at is not null and (%(chain)s::text is null or r.chain = %(chain)s)
    and not exists (
        select 1 from audit_entries e
        where e.body ->> 'kind' = 'review' and e.body -> 'detail' ->> 'review' = r.review_id::text
    )
order by r.chain, r.closed_at
limit %(limit)s

-- name: reviews_missing
-- What is always reviewed (`streams.audit.reviewing.RULES`, those that are urgent), is sealed, and has
-- no review: the sealer opens it in the transaction that seals
select s.chain, s.seq, needed.rule
from audit_seals s
join audit_entries e on e.entry_id = s.entry_id and e.recorded_at = s.recorded_at
cross join lateral (
    values
        ('break-glass', e.body ->> 'purpose' = 'break-glass'),
        ('restricted', e.body ->> 'kind' = 'access'
            and (e.actor like 'user:%%' or e.actor like 'cli:%%')
            and (e.body -> 'detail' ->> 'person' is not distinct from 'restricted'
                or e.body -> 'detail' ->> 'restricted' is not distinct from 'yes'))
) as needed (rule, holds)
where needed.holds and e.body ->> 'kind' in ('access', 'refusal')
    and (%(chain)s::text is null or s.chain = %(chain)s)
    and not exists (
        select 1 from audit_reviews r where r.entry_id = e.entry_id and r.rule = needed.rule
    )
order by s.chain, s.seq
limit %(limit)s
