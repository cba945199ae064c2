-- name: held
-- Cases in the store
select count(*) as amount from ncmd.cases

-- name: written
-- When the first version of each of these cases was written
select case_id, written_at from ncmd.history where version = 1 and case_id = any(%(case_ids)s)
