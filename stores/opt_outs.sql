-- name: clear
delete from opt_outs

-- name: add
insert into opt_outs (person) select distinct unnest(%(persons)s::text[])

-- name: note
insert into opt_out_imports (imported_at, amount, by) values (%(at)s, %(amount)s, %(by)s)

-- name: latest
select imported_at, amount, by from opt_out_imports order by imported_at desc limit 1

-- name: among
select person from opt_outs where person = any(%(persons)s::text[])
