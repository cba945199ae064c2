-- name: append
insert into audit_entries (entry_id, chain, recorded_at, body, person, actor)
select (body->>'entry_id')::uuid, body->>'chain', (body->>'recorded_at')::timestamptz, body,
       body->>'person', body->>'actor'
from jsonb_array_elements(%(bodies)s::jsonb) as given (body)
