-- name: coverage
-- What is known of each authority's files: the last one, and records that await a person (a view of
-- migration 0018, for the face may not read the rows of all)
select authority, last_file_at, unmatched_records from coverage
