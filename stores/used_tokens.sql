-- name: use
-- A row that another process is writing now is waited for: of two one is first
insert into used_tokens (digest, expires_at)
select * from unnest(%(digests)s::bytea[], %(expiries)s::timestamptz[])
on conflict (digest) do nothing
returning digest

-- name: forget
delete from used_tokens
where digest in (
    select digest from used_tokens where expires_at < %(before)s order by expires_at limit %(limit)s
)
