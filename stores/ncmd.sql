-- Queries of the NCMD store's own role; every name with its schema

-- name: begin_offsets
insert into ncmd.offsets (topic, partition, incarnation, next_offset)
select %(topic)s, p, %(incarnation)s, 0 from unnest(%(partitions)s::integer[]) as p
on conflict (topic, partition) do update set incarnation = excluded.incarnation
    where excluded.incarnation <> '' and (offsets.next_offset = 0 or offsets.incarnation = '')

-- name: offsets
select partition, incarnation, next_offset, applied_at from ncmd.offsets where topic = %(topic)s
order by partition

-- name: lock_offsets
select partition, incarnation, next_offset, applied_at from ncmd.offsets
where topic = %(topic)s and partition = any(%(partitions)s) order by partition for update

-- name: save_offsets
update ncmd.offsets o set next_offset = n.next_offset, applied_at = now()
from unnest(%(partitions)s::integer[], %(offsets)s::bigint[]) as n (partition, next_offset)
where o.topic = %(topic)s and o.partition = n.partition

-- name: move_offset
update ncmd.offsets set next_offset = %(found)s, incarnation = %(incarnation)s
where topic = %(topic)s and partition = %(partition)s

-- name: add_log_gap
insert into ncmd.log_gaps (topic, partition, expected_offset, found_offset, incarnation)
values (%(topic)s, %(partition)s, %(expected)s, %(found)s, %(incarnation)s)
on conflict do nothing

-- name: current
select case_id, version, state from ncmd.cases where case_id = any(%(case_ids)s)

-- name: known_versions
select h.case_id, h.version, h.content, h.digest
from ncmd.history h
join unnest(%(case_ids)s::uuid[], %(versions)s::integer[]) as w (case_id, version)
    using (case_id, version)

-- name: add_history
insert into ncmd.history (case_id, version, event_id, change, rule, state, changed_at, cause,
                          decided_by, needs_person, content, digest)
select * from unnest(%(case_ids)s::uuid[], %(versions)s::integer[], %(event_ids)s::uuid[],
                     %(changes)s::text[], %(rules)s::text[], %(states)s::text[],
                     %(changed_at)s::timestamptz[], %(causes)s::uuid[], %(decided_by)s::text[],
                     %(needs_person)s::boolean[], %(contents)s::bytea[], %(digests)s::bytea[])

-- name: widen
select ncmd.widen(%(case_id)s, %(version)s, %(digest)s, %(content)s)

-- name: put_case
insert into ncmd.cases (case_id, version, change, rule, changed_at, needs_person, state,
                        eligibility, eligibility_rule, indicator, identity_rule, nhs_number,
                        restricted, panel, panel_rule, panels_informed, needs, conflicts,
                        flag_history, known_as_at, merged_into)
values (%(case_id)s, %(version)s, %(change)s, %(rule)s, %(changed_at)s, %(needs_person)s, %(state)s,
        %(eligibility)s, %(eligibility_rule)s, %(indicator)s, %(identity_rule)s, %(nhs_number)s,
        %(restricted)s, %(panel)s, %(panel_rule)s, %(panels_informed)s, %(needs)s, %(conflicts)s,
        %(flag_history)s, %(known_as_at)s, %(merged_into)s)
on conflict (case_id) do update set
    version = excluded.version, change = excluded.change, rule = excluded.rule,
    changed_at = excluded.changed_at, needs_person = excluded.needs_person, state = excluded.state,
    eligibility = excluded.eligibility, eligibility_rule = excluded.eligibility_rule,
    indicator = excluded.indicator, identity_rule = excluded.identity_rule,
    nhs_number = excluded.nhs_number, restricted = excluded.restricted, panel = excluded.panel,
    panel_rule = excluded.panel_rule, panels_informed = excluded.panels_informed,
    needs = excluded.needs, conflicts = excluded.conflicts, flag_history = excluded.flag_history,
    known_as_at = excluded.known_as_at, merged_into = excluded.merged_into

-- name: remove_facts
delete from ncmd.facts where case_id = any(%(case_ids)s)

-- One JSON text for all rows: arrays of as many columns cost the client four times as much
-- name: add_facts
insert into ncmd.facts (case_id, position, name, row_number, organisation, event_id, value, absent,
                        kind, as_at, stated_at, form)
select case_id, position, name, row_number, organisation, event_id, value, absent, kind, as_at,
       stated_at, form
from json_to_recordset(%(rows)s::json) as r (
    case_id uuid, position integer, name text, row_number integer, organisation text,
    event_id uuid, value text, absent text, kind text, as_at text, stated_at timestamptz, form text)

-- name: remove_links
delete from ncmd.links where case_id = any(%(case_ids)s)

-- name: add_links
insert into ncmd.links (case_id, kind, position, organisation, key, source, version, state, at,
                        from_day, to_day, event_id, request_id, other_case, reason)
select case_id, kind, position, organisation, key, source, version, state, at, from_day, to_day,
       event_id, request_id, other_case, reason
from json_to_recordset(%(rows)s::json) as r (
    case_id uuid, kind text, position integer, organisation text, key text, source text,
    version integer, state text, at timestamptz, from_day text, to_day text, event_id uuid,
    request_id uuid, other_case uuid, reason text)

-- Where a case became void and where it came back, by its versions in order
-- name: turns
select case_id, version, state, changed_at, content
from (select case_id, version, state, changed_at,
             case when state = 'VOIDED' then content end as content,
             lag(state, 1, '') over (partition by case_id order by version) as before
      from ncmd.history where case_id = any(%(case_ids)s)) h
where (state = 'VOIDED') <> (before = 'VOIDED')
order by case_id, version

-- name: remove_tombstones
delete from ncmd.tombstones where case_id = any(%(case_ids)s)

-- name: add_tombstone
insert into ncmd.tombstones (case_id, version, reason, voided_at, lifted_version, lifted_at)
values (%(case_id)s, %(version)s, %(reason)s, %(voided_at)s, %(lifted_version)s, %(lifted_at)s)

-- name: add_version_gap
insert into ncmd.version_gaps (case_id, after_version, before_version)
values (%(case_id)s, %(after)s, %(before)s)
on conflict (case_id, before_version) do nothing

-- name: add_dead_letter
insert into ncmd.dead_letters (topic, partition, kafka_offset, reason)
values (%(topic)s, %(partition)s, %(offset)s, %(reason)s)

-- name: as_of
select version, needs_person, content from ncmd.history
where case_id = %(case_id)s and changed_at <= %(at)s
order by version desc limit 1

-- name: versions
select version, change, rule, changed_at, decided_by, needs_person from ncmd.history
where case_id = %(case_id)s order by version

-- name: counts
select (select coalesce(jsonb_object_agg(state, n), '{}') from
            (select state, count(*) as n from ncmd.cases group by state) s) as cases,
       (select coalesce(jsonb_object_agg(eligibility, n), '{}') from
            (select eligibility, count(*) as n from ncmd.cases where state = 'OPEN'
             group by eligibility) e) as open_by_eligibility,
       (select count(*) from ncmd.cases where needs_person) as needs_person,
       (select count(*) from ncmd.history) as versions,
       (select count(*) from ncmd.facts) as facts,
       (select count(*) from ncmd.tombstones where lifted_version is null) as tombstones,
       (select count(*) from ncmd.version_gaps g
        where (select count(*) from ncmd.history h
               where h.case_id = g.case_id and h.version > g.after_version
                   and h.version < g.before_version)
              < g.before_version - g.after_version - 1) as version_gaps,
       (select count(*) from ncmd.log_gaps) as log_gaps,
       (select count(distinct (topic, partition, kafka_offset)) from ncmd.dead_letters)
           as dead_letters,
       (select max(applied_at) from ncmd.offsets where next_offset > 0) as last_applied_at,
       (select coalesce(jsonb_object_agg(state, n), '{}') from
            (select state, count(*) as n from ncmd.submissions group by state) s) as submissions
