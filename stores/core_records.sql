-- name: record
-- One row, by the same plan whatever is known: how long an answer takes tells nothing
select i.person is not null as known, i.names, i.birth_date, i.gender, i.verified_at,
    coalesce(i.deceased, false) as deceased,
    is_restricted(wanted.person) as restricted,
    coalesce((
        select json_agg(json_build_array(p.scheme, p.value, p.assigner, p.organisation, p.stated_at,
                -- an attendance there may be told: a visit of the year, and none whose place is hidden
                coalesce(seen.told, false))
            order by p.organisation <> %(organisation)s, p.scheme, p.stated_at, p.value)
        from (select p.scheme, p.value, p.assigner, p.organisation, p.stated_at
              from person_identifiers p where p.person = wanted.person
              order by p.organisation <> %(organisation)s, p.stated_at desc limit %(most)s) p
        left join (
            select v.hospital, bool_and(not v.restricted and not v.location_shielded)
                and bool_or(v.live and not v.provisional and not v.birth
                    and v.arrived_at > %(now)s::timestamptz - %(look_back)s) as told
            from visits v where v.person = wanted.person group by v.hospital
        ) seen on seen.hospital = p.organisation), '[]')::text as identifiers,
    coalesce((
        select json_agg(l.local_id order by l.local_id)
        from sibling_links l
        where l.authority = %(organisation)s and l.person = wanted.person and l.sibling is not null
            -- an id that two people have by now names neither
            and (select count(distinct p.person) from person_identifiers p
                 where p.organisation = l.authority and p.scheme = %(scheme)s
                    and p.value = l.local_id) = 1),
        '[]')::text as siblings,
    exists (select from flags f
            where f.person = wanted.person and f.authority = %(organisation)s) as flag,
    exists (select from (select v.hospital, v.live, v.provisional, v.arrived_at
                  from visits v where v.person = wanted.person offset 0) w
            where w.hospital = %(organisation)s and w.live and not w.provisional
                and w.arrived_at > %(now)s::timestamptz - %(look_back)s) as visit,
    exists (select from (select v.hospital, v.live, v.provisional, v.arrived_at
                  from visits v where v.person = wanted.person offset 0) w
            where w.hospital = %(organisation)s and w.live and not w.provisional
                and w.arrived_at > %(now)s::timestamptz - %(here)s) as here,
    exists (select from own_open_cases c where c.person = wanted.person) as open_case
from (select %(person)s::text as person) wanted
left join identities i on i.person = wanted.person
