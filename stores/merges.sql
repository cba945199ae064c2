-- name: family
-- Every merge that can be reached from these keys, in both directions
with recursive family (key) as (
    select unnest(%(keys)s::text[])
    union
    select linked.key from family
    join lateral (
        select surviving_key as key from merges where retired_key = family.key
        union all
        select retired_key as key from merges where surviving_key = family.key
    ) as linked on true
)
select retired_key, retired_patient, surviving_key, surviving_patient, recorded_at, message_at, event_id
from merges where retired_key in (select key from family)
order by retired_key

-- name: put
-- Of one retired patient the merge that was recorded last holds, whatever the order of arrival
insert into merges (retired_key, retired_patient, surviving_key, surviving_patient, recorded_at, message_at,
    event_id)
values (%(retired_key)s, %(retired_patient)s, %(surviving_key)s, %(surviving_patient)s, %(recorded_at)s,
    %(message_at)s, %(event_id)s)
on conflict (retired_key) do update set
    retired_patient = excluded.retired_patient, surviving_key = excluded.surviving_key,
    surviving_patient = excluded.surviving_patient, recorded_at = excluded.recorded_at,
    message_at = excluded.message_at, event_id = excluded.event_id
where (excluded.recorded_at, excluded.message_at, excluded.event_id)
    > (merges.recorded_at, merges.message_at, merges.event_id)
