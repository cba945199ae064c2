-- name: try_lock
select pg_try_advisory_xact_lock(%(lock)s) as got

-- name: lock
select pg_advisory_xact_lock(%(lock)s)

-- name: unsealed
-- Below the oldest running transaction nothing can appear any more. A number that no transaction of
-- this cluster has had yet came with a dump of another one, and is as settled
with snap as materialized (
    select pg_snapshot_xmin(s) as xmin, pg_snapshot_xmax(s) as xmax
    from (select pg_current_snapshot() as s) now
)
select e.entry_id, e.recorded_at, e.chain, e.xid::text as xid, e.body::text as body,
    (select xmin from snap)::text as settled
from audit_entries e
where e.xid >= (select audit_mark())
    and (e.xid < (select xmin from snap) or e.xid >= (select xmax from snap))
    and not exists (
        select 1 from audit_seals s
        where s.entry_id = e.entry_id and s.recorded_at = e.recorded_at
    )
order by e.xid, e.chain, e.recorded_at, e.entry_id
limit %(limit)s

-- name: reached
insert into audit_progress (xid, cluster) values (%(xid)s::text::xid8, audit_cluster())
on conflict (singleton) do update set xid = excluded.xid, cluster = excluded.cluster

-- name: heads
select head.chain, head.seq, head.hash
from unnest(%(chains)s::text[]) as wanted (chain)
cross join lateral (
    select * from audit_seals s where s.chain = wanted.chain order by s.seq desc limit 1
) head

-- name: add
insert into audit_seals (chain, seq, entry_id, recorded_at, xid, prev_hash, hash, sealed_at)
select chain, seq, entry_id, recorded_at, xid::xid8, prev_hash, hash, %(sealed_at)s
from unnest(
    %(chains)s::text[], %(seqs)s::bigint[], %(entry_ids)s::uuid[], %(times)s::timestamptz[],
    %(xids)s::text[], %(prevs)s::bytea[], %(hashes)s::bytea[]
) as given (chain, seq, entry_id, recorded_at, xid, prev_hash, hash)

-- name: uncovered
-- One step of an index for each chain, not a scan of all seals
with recursive chains as (
    (select chain from audit_seals order by chain limit 1)
    union all
    select (select s.chain from audit_seals s where s.chain > c.chain order by s.chain limit 1)
    from chains c where c.chain is not null
)
select head.chain, head.seq, head.hash, coalesce(last.seq, 0) as covered, last.line as last_line,
    (select s.recorded_at from audit_seals s
        where s.chain = head.chain and s.seq > coalesce(last.seq, 0) order by s.seq limit 1
    ) as oldest
from chains
cross join lateral (
    select s.chain, s.seq, s.hash from audit_seals s
    where s.chain = chains.chain order by s.seq desc limit 1
) head
left join lateral (
    select c.seq, c.line from audit_checkpoints c
    where c.chain = chains.chain order by c.number desc limit 1
) last on true
where chains.chain is not null
    and (%(all)s or head.seq > coalesce(last.seq, 0))
order by head.chain

-- name: last_number
select coalesce(max(number), 0) as number from audit_checkpoints

-- name: last_of
select line from audit_checkpoints where chain = %(chain)s order by number desc limit 1

-- name: last_signed
-- By number, not by time: clocks may go back
select at from audit_checkpoints order by number desc limit 1

-- name: add_checkpoints
insert into audit_checkpoints (number, chain, kind, seq, at, line)
select * from unnest(
    %(numbers)s::bigint[], %(chains)s::text[], %(kinds)s::text[], %(seqs)s::bigint[],
    %(times)s::timestamptz[], %(lines)s::text[]
)

-- name: checkpoints_after
select number, line from audit_checkpoints where number > %(after)s order by number limit %(limit)s

-- name: checkpoints_of
select number, line from audit_checkpoints
where number > %(after)s and chain = %(chain)s order by number limit %(limit)s

-- name: unsealed_window
select count(*) as entries, min(e.recorded_at) as oldest
from audit_entries e
where e.xid >= (select audit_mark())
    and (%(chain)s::text is null or e.chain = %(chain)s)
    and not exists (
        select 1 from audit_seals s
        where s.entry_id = e.entry_id and s.recorded_at = e.recorded_at
    )

-- name: unsealed_before
select exists (
    select 1 from audit_entries e
    where e.recorded_at < %(before)s and not exists (
        select 1 from audit_seals s
        where s.entry_id = e.entry_id and s.recorded_at = e.recorded_at
    )
) as there

-- name: droppable
-- What a chain loses when entries recorded before a time are dropped: the first place from which on
-- nothing is missing, and how many below it go
select s.chain, max(s.seq) + 1 as first_kept, count(*) as dropped
from audit_seals s where s.recorded_at < %(before)s
group by s.chain order by s.chain
