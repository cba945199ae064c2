-- name: unfenced
-- Whatever the role could read or change there without a policy deciding about each row; with the views
-- that have their owner's rights. Partitions are reached through their table
select c.relname as name
from pg_class c
where c.relnamespace = 'halyard'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
    and not c.relrowsecurity
    and (has_any_column_privilege(%(role)s::text, c.oid, 'select, insert, update')
        or has_table_privilege(%(role)s::text, c.oid, 'delete, truncate'))
order by 1

-- name: unbarred
-- Views that narrow themselves, but let a function of the caller's see the rows before
select c.relname as name
from pg_class c
where c.relnamespace = 'halyard'::regnamespace and c.relkind = 'v' and starts_with(c.relname, 'own_')
    and not coalesce('security_barrier=true' = any(c.reloptions), false)
order by 1

-- name: undecided
-- Policies that hold for the role and let every row through; what it may add counts where nothing says
-- what it may see
select tablename as name, policyname as policy from pg_policies
where schemaname = 'halyard' and permissive = 'PERMISSIVE'
    and roles && array[%(role)s::name, 'public'] and coalesce(qual, with_check) = 'true'
order by 1, 2

-- name: definers
-- Functions that run with their owner's rights, whoever calls them
select p.proname as name from pg_proc p
where p.pronamespace = 'halyard'::regnamespace and p.prosecdef
    and has_function_privilege(%(role)s::text, p.oid, 'execute')
order by 1

-- name: powers
select r.rolsuper or r.rolbypassrls as bypasses,
    exists (select from pg_auth_members m where m.member = r.oid) as belongs_to_others
from pg_roles r where r.rolname = %(role)s
