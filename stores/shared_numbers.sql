-- name: shared
select organisation, person,
    json_agg(distinct jsonb_build_object(
        'local_id', local_id, 'standing', standing, 'rule', rule, 'since', since))::text as records
from number_records
where %(organisation)s::text is null or organisation = %(organisation)s
group by organisation, person
having count(distinct local_id) > 1 and count(distinct patient) > 1
order by organisation, max(since) desc, person
limit %(limit)s

-- name: own_shared
select organisation, person,
    json_agg(distinct jsonb_build_object(
        'local_id', local_id, 'standing', standing, 'rule', rule, 'since', since))::text as records
from own_number_records
group by organisation, person
having count(distinct local_id) > 1 and count(distinct patient) > 1
order by organisation, max(since) desc, person
limit %(limit)s

-- name: without
select organisation, event_kind, count(*) as records from worklist
where closed_at is null and (%(organisation)s::text is null or organisation = %(organisation)s)
group by organisation, event_kind
order by organisation, event_kind
