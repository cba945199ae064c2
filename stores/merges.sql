-- name: near
-- The merges that name one of these keys; of a key with many no more than show that it has
select distinct retired_key, retired_patient, surviving_key, surviving_patient, recorded_at, message_at, event_id
from unnest(%(keys)s::text[]) as given (key)
join lateral (
    select * from merges where retired_key = given.key
    union all
    (select * from merges where surviving_key = given.key limit %(most)s)
) as linked on true

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
