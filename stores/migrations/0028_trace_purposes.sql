-- A trace is asked for more than for waiting events: each purpose has its own releaser in the tracer
alter table trace_requests drop constraint trace_requests_priority_check;
alter table trace_requests add constraint trace_requests_priority_check check (priority between 1 and 6);
alter table trace_requests add column purpose text not null default 'claims'
    check (purpose in ('claims', 'recheck', 'resolution', 'batch'));
-- Queries of a search that PDS has answered already ("rule=ending"): a tracer that takes over goes on after them
alter table trace_requests add column answered text[] not null default '{}';
-- How much of the ration is spent now: less after each 429, then more again
alter table pds_ration add column pace double precision not null default 1 check (pace > 0 and pace <= 1);
