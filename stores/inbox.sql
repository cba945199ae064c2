-- name: take
insert into inbox (stage, event_id)
select %(stage)s, id from unnest(%(ids)s::uuid[]) with ordinality as given (id, position) order by position
on conflict do nothing
returning event_id
