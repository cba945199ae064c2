-- name: get
select reason, by, since from pauses where stage = %(stage)s

-- name: all
select stage, reason, by, since from pauses order by stage

-- name: put
insert into pauses (stage, reason, by) values (%(stage)s, %(reason)s, %(by)s)
on conflict (stage) do nothing

-- name: drop
delete from pauses where stage = %(stage)s
