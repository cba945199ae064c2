-- The audit chain: who was told what about whom, under which rule (DESIGN, proof). Rows are only ever
-- added. Sealing, which gives each its place and hash, adds rows of its own.
create table audit_entries (
    entry_id uuid not null,
    chain text not null, -- organisation that was told, or was refused
    recorded_at timestamptz not null,
    -- orders the sealing: below the oldest running transaction nothing can appear any more
    xid xid8 not null default pg_current_xact_id(),
    body jsonb not null, -- every member of the entry; personal facts stand here by pseudonym alone
    person text, -- pseudonym (store key) of the child, also in the body
    actor text not null, -- also in the body
    primary key (entry_id, recorded_at)
) partition by range (recorded_at);
-- Months are added ahead and dropped whole; what falls outside them is kept here
create table audit_entries_other partition of audit_entries default;
create index audit_entries_person on audit_entries (person, recorded_at) where person is not null;
create index audit_entries_chain on audit_entries (chain, recorded_at);
create index audit_entries_xid on audit_entries (xid);
