-- Messages about deaths, and agencies' reports, pass the identity ladder too
alter table claims drop constraint claims_event_kind_check;
alter table claims add constraint claims_event_kind_check
    check (event_kind in ('attendance', 'flag', 'death', 'report'));
-- Of messages about deaths: what decides which of one notification's counts, once it is emptied too
alter table claims add column version integer;
alter table claims add column request_id uuid; -- the request that a report answers
create index claims_deaths on claims (key, position) where event_kind in ('death', 'report');
create index claims_deaths_named on claims (key, request_id, person, version, position)
    where event_kind in ('death', 'report') and state = 'verified';
create index claims_deaths_unresolved on claims (key)
    where event_kind in ('death', 'report') and state = 'unresolved';
