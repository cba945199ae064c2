-- name: recent
-- Of people who looked or were refused just now: at how many children, and how often refused, in the
-- hour before
select a.actor,
    (select count(distinct e.person) from audit_entries e
        where e.actor = a.actor and e.recorded_at > a.until - interval '1 hour'
            and e.recorded_at <= a.until and e.body ->> 'kind' = 'access') as children,
    (select coalesce(sum(case when e.body -> 'detail' ->> 'count' ~ '^[0-9]{1,6}$'
                then (e.body -> 'detail' ->> 'count')::int else 1 end), 0) from audit_entries e
        where e.actor = a.actor and e.recorded_at > a.until - interval '1 hour'
            and e.recorded_at <= a.until and e.body ->> 'decision' = 'deny') as refusals
from unnest(%(actors)s::text[], %(untils)s::timestamptz[]) as a (actor, until)

-- name: open
insert into audit_reviews (
    review_id, entry_id, recorded_at, chain, actor, person, rule, opened_at, due_at
)
select review_id, entry_id, recorded_at, chain, actor, person, rule, %(opened_at)s, due_at
from unnest(
    %(review_ids)s::uuid[], %(entry_ids)s::uuid[], %(times)s::timestamptz[], %(chains)s::text[],
    %(actors)s::text[], %(persons)s::text[], %(rules)s::text[], %(dues)s::timestamptz[]
) as given (review_id, entry_id, recorded_at, chain, actor, person, rule, due_at)
on conflict (review_id) do nothing

-- name: page
select r.*, e.body::text as body from audit_reviews r
left join audit_entries e on e.entry_id = r.entry_id and e.recorded_at = r.recorded_at
where (%(chain)s::text is null or r.chain = %(chain)s)
    and (%(open)s and r.closed_at is null or not %(open)s)
    and (%(after_due)s::timestamptz is null
        or (r.due_at, r.review_id) > (%(after_due)s::timestamptz, %(after_id)s::uuid))
order by r.due_at, r.review_id
limit %(limit)s

-- name: lock
select r.*, (select e.body::text from audit_entries e
        where e.entry_id = r.entry_id and e.recorded_at = r.recorded_at) as body
from audit_reviews r
where r.review_id = %(review_id)s and (%(chain)s::text is null or r.chain = %(chain)s)
for update

-- name: close
update audit_reviews
set closed_at = %(at)s, reviewer = %(reviewer)s, outcome = %(outcome)s, note = %(note)s
where review_id = %(review_id)s and closed_at is null

-- name: standing
select count(*) as open, min(opened_at) as oldest from audit_reviews where closed_at is null
