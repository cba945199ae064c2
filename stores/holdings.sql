-- name: held
-- One row for each person, by the same plan whatever is held: how long an answer takes tells nothing.
-- What is not shown of a restricted person is not read: it is looked for under nobody, as if there
-- were none, so that how long it takes does not tell how much of it there is
select wanted.person,
    coalesce((
        select json_agg(json_build_array(
            f.authority, f.plan_type, f.start_date, f.end_date, f.birth_date, f.restricted,
            f.local_id, f.phone_office, f.phone_emergency)
            order by f.authority, f.plan_type, f.start_date)
        from flags f where f.person = wanted.person), '[]')::text as flags,
    i.person is not null as number_known,
    (select s.successor from number_successors s where s.person = wanted.person) as successor,
    exists (select from inactive_numbers n where n.person = wanted.person) as inactive,
    known.restricted,
    (select min(n.noted_at) from death_notes n
     where n.person = wanted.person and n.withdrawn_at is null) as death_noted,
    coalesce((
        select json_agg(json_build_array(
            a.access_id, a.looked_at, a.organisation, a.author, a.author_name, a.author_person,
            a.job_role, a.roles, a.purpose, a.unscheduled, a.interface))
        from (select l.* from accesses l where l.person = shown.looks_of and l.listed
              order by l.looked_at desc limit %(most)s) a), '[]')::text as accesses,
    (select bool_or(l.unscheduled or l.purpose = %(break_glass)s)
     -- offset 0: by person, never by going through the organisation's looks of the day
     from (select * from accesses a
           where a.person = wanted.person and a.listed
               and a.looked_at > %(now)s::timestamptz - %(once_in)s
           offset 0) l
     where l.organisation = %(organisation)s and l.author = wanted.author) as seen_before,
    coalesce((
        select json_agg(json_build_array(v.hospital, v.department, v.arrived_at))
        from (select w.hospital, w.department, w.arrived_at from visits w
              where w.person = shown.visits_of and w.live and not w.provisional and not w.birth
                  and not w.restricted and not w.location_shielded
                  and w.arrived_at > %(now)s::timestamptz - %(look_back)s and w.arrived_at <= %(now)s::timestamptz
                  and not (w.hospital = %(organisation)s and w.arrived_at > %(now)s::timestamptz - %(here)s)
              order by w.arrived_at desc, w.visit_id limit %(attendances)s) v), '[]')::text
        as attendances,
    exists (
        select 1
        from (select v.hospital, v.live, v.provisional, v.arrived_at
              from visits v where v.person = wanted.person offset 0) w
        where w.hospital = %(organisation)s and w.live
            and not w.provisional and w.arrived_at > %(now)s::timestamptz - %(here)s) as here
from unnest(%(persons)s::text[], %(authors)s::text[]) with ordinality
    as wanted (person, author, position)
left join identities i on i.person = wanted.person
-- offset 0: asked once, not wherever it is used
cross join lateral (
    select is_restricted(wanted.person) as restricted,
        exists (
            select from flags f
            where f.person = wanted.person and f.authority = %(organisation)s) as own
    offset 0) known
cross join lateral (
    select case when known.restricted and not known.own then '' else wanted.person end as looks_of,
        case when known.restricted then '' else wanted.person end as visits_of
    offset 0) shown
order by wanted.position
