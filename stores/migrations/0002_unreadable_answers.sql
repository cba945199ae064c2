-- Answers of PDS that could not be read as one; after some of them the tracer gives up
alter table trace_requests add column unreadable integer not null default 0;
