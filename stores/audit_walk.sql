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
