-- When PDS's word that the row holds was taken, by the database's clock like the lease of a
-- question: an answer to what was asked before that may be older, and undoes nothing
alter table identities add column heard_at timestamptz;

-- Word of people who are not known looks for what is being asked now, however much waits
create index trace_requests_leased on trace_requests (token) where state = 'leased';
