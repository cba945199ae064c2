-- name: known
select policy, version, digest from policy_versions

-- name: add
insert into policy_versions (policy, version, digest, first_seen)
values (%(policy)s, %(version)s, %(digest)s, %(at)s)
on conflict do nothing
