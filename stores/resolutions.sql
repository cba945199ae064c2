-- name: add
insert into resolutions (resolution_id, entry_id, organisation, action, number, person, code, despite,
    made_by, made_by_name, role, reason, made_at)
values (%(resolution_id)s, %(entry_id)s, %(organisation)s, %(action)s, %(number)s, %(person)s, %(code)s,
    %(despite)s, %(made_by)s, %(made_by_name)s, %(role)s, %(reason)s, %(made_at)s)

-- name: schedule
insert into resolutions (resolution_id, entry_id, organisation, action, scheduled, made_by, reason, made_at)
values (%(resolution_id)s, %(entry_id)s, %(organisation)s, %(action)s, true, %(made_by)s, %(reason)s, %(made_at)s)

-- name: waiting
select resolution_id from resolutions where state = 'waiting' order by made_at limit %(limit)s

-- name: get
select resolution_id, r.entry_id, w.reported_event_id, r.organisation, action, number, r.person, code, despite,
       scheduled, made_by, made_by_name, role, reason, made_at, state, outcome, evidence, trace_id, ended_at
from resolutions r join worklist w using (entry_id)
where resolution_id = %(resolution_id)s

-- name: hold
select resolution_id, r.entry_id, w.reported_event_id, r.organisation, action, number, r.person, code, despite,
       scheduled, made_by, made_by_name, role, reason, made_at, state, outcome, evidence, trace_id, ended_at
from resolutions r join worklist w using (entry_id)
where resolution_id = %(resolution_id)s and state in ('waiting', 'asked')
for update of r

-- name: of_entry
select resolution_id, r.entry_id, w.reported_event_id, r.organisation, action, r.person, code, despite,
       scheduled, made_by, made_by_name, role, reason, made_at, state, outcome, evidence, trace_id, ended_at
from resolutions r join worklist w using (entry_id)
where r.entry_id = %(entry_id)s
order by made_at desc, resolution_id limit %(limit)s

-- name: tally
-- What stands in the way of another decision, counted and not listed: an entry may have many. A failure
-- is a resolution that PDS did not bear out, or that was taken back
with mine as (
    select action, state, code, scheduled, outcome, resolution_id, made_at from resolutions
    where entry_id = %(entry_id)s
), failures as (
    select r.entry_id, r.made_by, r.made_at from resolutions r
    where (r.entry_id = %(entry_id)s or r.made_by = %(by)s and r.made_at > %(day)s) and r.action = 'resolve'
        and (r.state = 'refused' and r.outcome = any(%(borne_out)s::text[])
            or r.state = 'done' and exists (select from resolutions u where u.entry_id = r.entry_id
                and u.action = 'undo' and u.state = 'done' and u.made_at >= r.made_at))
)
select (select resolution_id from mine where state in ('waiting', 'asked') and not scheduled and action <> 'ask'
        limit 1) as live,
    (select action from mine where state in ('waiting', 'asked') and not scheduled and action <> 'ask'
        limit 1) as live_action,
    (select count(*) from mine where action = 'ask') as asked,
    exists (select from mine where action = 'retry' and not scheduled and made_at > %(hour)s) as retried_lately,
    (select count(*) from failures where entry_id = %(entry_id)s) as failures,
    (select count(*) from failures where made_by = %(by)s and made_at > %(day)s) as failures_of_person

-- name: count_scheduled
select count(*) as amount from resolutions where scheduled and state in ('waiting', 'asked')

-- name: filed
update resolutions set state = 'asked', trace_id = %(trace_id)s where resolution_id = %(resolution_id)s

-- name: end
update resolutions set state = %(state)s, outcome = %(outcome)s, evidence = %(evidence)s, number = null,
    ended_at = %(now)s
where resolution_id = %(resolution_id)s
