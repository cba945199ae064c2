-- Until when a plan runs at most, for retention: its end, else the child's 19th year (children's plans
-- end at 18); null if nothing ends it. The mother of an unborn child has no such age.
create function last_day(plan flags) returns date language sql immutable
    return coalesce(
        plan.end_date,
        case when plan.plan_type in ('CPP', 'LAC') and plan.birth_date ~ '^[0-9]{4}(-|$)'
            then make_date(left(plan.birth_date, 4)::integer + 19, 1, 1) end);

-- What retention looks for
create index deliveries_done on deliveries (done_at) where body <> '';
create index visits_received on visits (received_at);
create index uploads_received on uploads (authority, received_at);

-- Adds the partition of a month to `parent`, and moves rows of it there out of the default partition;
-- nothing if it is there. Takes its locks first: a row on its way into the default partition would be
-- refused (23514) once the month is attached. Everybody who writes there waits meanwhile: set lock_timeout
create function make_month(parent regclass, first date) returns void language plpgsql as $$
declare
    parent_name text := (select relname from pg_class where oid = parent);
    part text := format('%s_y%sm%s', parent_name, to_char(first, 'YYYY'), to_char(first, 'MM'));
    key text := (select a.attname from pg_partitioned_table p
        join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
        where p.partrelid = parent);
    lower timestamptz := first::timestamp at time zone 'UTC';
    upper timestamptz := (first + interval '1 month') at time zone 'UTC';
begin
    if to_regclass(format('halyard.%I', part)) is not null then
        return;
    end if;
    execute format('lock table %s in access exclusive mode', parent); -- and its partitions
    execute format('create table halyard.%I (like %s including defaults including constraints)',
        part, parent);
    execute format('with moved as (delete from halyard.%I where %I >= %L and %2$I < %4$L returning *) '
        'insert into halyard.%5$I select * from moved', parent_name || '_other', key, lower, upper, part);
    execute format('alter table %s attach partition halyard.%I for values from (%L) to (%L)',
        parent, part, lower, upper);
end
$$;
