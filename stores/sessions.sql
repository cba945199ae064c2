-- name: about
-- Whose rows this transaction is about; row-level security goes by it
select set_config('halyard.session', %(session_hash)s, true),
    set_config('halyard.organisation', %(organisation)s, true)

-- name: start
insert into sessions (
    session_hash, organisation, subject, name, job_role, roles, created_at, seen_at, ends_at
)
values (
    %(session_hash)s, %(organisation)s, %(subject)s, %(name)s, %(job_role)s, %(roles)s, %(now)s,
    %(now)s, %(ends_at)s
)

-- name: sweep
-- What is over in this organisation, a page at a time: each log-in takes some of it away
delete from sessions
where session_hash in (
    select session_hash from sessions
    where organisation = %(organisation)s and (ends_at <= %(now)s or seen_at <= %(idle_since)s)
    limit 500
)

-- name: crowd_out
-- Nobody has more than so many at once: the oldest end
delete from sessions
where session_hash in (
    select session_hash from sessions
    where organisation = %(organisation)s and subject = %(subject)s
    order by created_at desc, session_hash
    offset %(most)s
)

-- name: seen
-- A row is written only when a minute has passed, not for every request
with found as (
    select * from sessions
    where session_hash = %(session_hash)s and ends_at > %(now)s and seen_at > %(idle_since)s
),
written as (
    update sessions s set seen_at = %(now)s
    from found f
    where s.session_hash = f.session_hash and f.seen_at <= %(write_before)s
)
select session_hash, organisation, subject, name, job_role, roles, created_at, ends_at from found

-- name: end
delete from sessions where session_hash = %(session_hash)s
returning session_hash, organisation, subject, name, job_role, roles, created_at, ends_at

-- name: standing
select session_hash, organisation, subject, name, job_role, roles, created_at, ends_at
from sessions
where (%(organisation)s::text is null or organisation = %(organisation)s)
    and (%(subject)s::text is null or subject = %(subject)s)
    and ends_at > %(now)s and seen_at > %(idle_since)s
order by organisation, subject, created_at
limit %(limit)s

-- name: end_of
delete from sessions
where (%(organisation)s::text is null or organisation = %(organisation)s)
    and (%(subject)s::text is null or subject = %(subject)s)
returning session_hash, organisation, subject, name, job_role, roles, created_at, ends_at
