-- name: load
select * from report_requests where case_id = any(%(case_ids)s::uuid[])
order by requested_at, request_id

-- name: get
select * from report_requests where request_id = %(request_id)s

-- name: save
-- A lower version never replaces a higher one
insert into report_requests (
    request_id, case_id, version, state, requested_at, due_at, panel, agency, agency_name, role,
    rule, sections, changed_at, person
)
values (
    %(request_id)s, %(case_id)s, %(version)s, %(state)s, %(requested_at)s, %(due_at)s, %(panel)s,
    %(agency)s, %(agency_name)s, %(role)s, %(rule)s, %(sections)s, %(changed_at)s,
    %(person)s
)
on conflict (request_id) do update set
    version = excluded.version, state = excluded.state, due_at = excluded.due_at,
    panel = excluded.panel, changed_at = excluded.changed_at, person = excluded.person
where excluded.version > report_requests.version
