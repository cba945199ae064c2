-- name: append
insert into audit_entries (entry_id, chain, recorded_at, body, person, actor)
select * from unnest(
    %(entry_ids)s::uuid[], %(chains)s::text[], %(times)s::timestamptz[], %(bodies)s::jsonb[],
    %(persons)s::text[], %(actors)s::text[]
)
