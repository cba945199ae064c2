-- name: coverage
-- What is known of each authority's files: the last one, and records that await a person
select u.authority, max(u.received_at) as last_file_at,
    (select count(*) from worklist w
     where w.organisation = u.authority and w.event_kind = 'flag' and w.closed_at is null)
        as unmatched_records
from uploads u
where u.file_rule is null -- a file that could not be read says nothing
group by u.authority

-- name: known_number
select exists (select 1 from identities where person = %(person)s) as known
