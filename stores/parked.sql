-- name: load
-- What keys wait for; and, without a trace, those that took part in a merge
select key, trace_id, candidate from parked_keys where key = any(%(keys)s::text[])
union all
select retired_key, null, null from merges where retired_key = any(%(keys)s::text[])
union all
select surviving_key, null, null from merges where surviving_key = any(%(keys)s::text[])

-- name: behind
select key from parked_keys where trace_id = %(trace_id)s order by key

-- name: put
insert into parked_keys (key, trace_id, candidate)
select key, trace_id, candidate
from unnest(%(keys)s::text[], %(traces)s::uuid[], %(candidates)s::text[]) as given (key, trace_id, candidate)
order by key
on conflict (key) do update set trace_id = excluded.trace_id, candidate = excluded.candidate

-- name: free
delete from parked_keys where key = any(%(keys)s::text[])
