-- The audit chain: seals give each entry its place and hash, checkpoints sign the head of a chain,
-- reviews put accesses before a person. Seals and checkpoints are only ever added, by the sealer's own
-- role (`halyard sealer`, `halyard retention apply`): whoever else could add one could stop sealing.
create table audit_seals (
    chain text not null,
    seq bigint not null check (seq > 0), -- without a gap
    entry_id uuid not null,
    recorded_at timestamptz not null, -- with entry_id the key of the entry
    xid xid8 not null, -- of the transaction that appended the entry
    prev_hash bytea not null,
    hash bytea not null,
    sealed_at timestamptz not null,
    primary key (chain, seq),
    unique (entry_id, recorded_at)
);

-- How far sealing has come: every entry of a lower transaction number has its place. Numbers are of one
-- cluster: in another one (a restored dump) the search begins anew
create table audit_progress (
    singleton boolean primary key default true check (singleton),
    xid xid8 not null,
    cluster text not null -- `audit_cluster()` when it was written
);
create function audit_cluster() returns text language sql stable as
    $$ select (select system_identifier from pg_control_system()) || '/'
        || (select oid from pg_database where datname = current_database()) $$;
create function audit_mark() returns xid8 language sql stable as
    $$ select coalesce((select xid from audit_progress where cluster = audit_cluster()), '0') $$;

create table audit_checkpoints (
    number bigint primary key, -- over all chains, without a gap; one sealer works at a time
    chain text not null,
    kind text not null check (kind in ('head', 'retention')),
    seq bigint not null,
    at timestamptz not null,
    line text not null -- exactly as exported
);
create index audit_checkpoints_chain on audit_checkpoints (chain, number);

-- What is searched for, beside person and chain
create index audit_entries_actor on audit_entries (actor, recorded_at);
create index audit_entries_subject on audit_entries ((body ->> 'subject'), recorded_at)
    where body ? 'subject';
create index audit_entries_case on audit_entries ((body ->> 'case_id'), recorded_at)
    where body ? 'case_id';

-- Accesses that a person looks at: a sample, and the unusual ones
create table audit_reviews (
    review_id uuid primary key, -- derived from rule and what it is opened once for
    entry_id uuid not null,
    recorded_at timestamptz not null,
    chain text not null,
    actor text not null,
    person text,
    rule text not null,
    opened_at timestamptz not null,
    due_at timestamptz not null,
    closed_at timestamptz,
    reviewer text,
    outcome text check (outcome in ('appropriate', 'inappropriate', 'needs-enquiry')),
    note text,
    check ((closed_at is null) = (outcome is null) and (closed_at is null) = (reviewer is null))
);
create index audit_reviews_open on audit_reviews (chain, due_at, review_id)
    where closed_at is null;
create index audit_reviews_chain on audit_reviews (chain, due_at, review_id);

-- The face reads what stands of its caller's organisation, and closes reviews
call fence('audit_seals');
grant select on audit_seals to halyard_face;
create policy face_sees on audit_seals for select to halyard_face
    using (chain = face_organisation());
call fence('audit_checkpoints');
call fence('audit_reviews');
grant select on audit_reviews to halyard_face;
grant update (closed_at, reviewer, outcome, note) on audit_reviews to halyard_face;
create policy face_sees on audit_reviews for select to halyard_face
    using (chain = face_organisation());
create policy face_closes on audit_reviews for update to halyard_face
    using (chain = face_organisation()) with check (chain = face_organisation());

-- The sealer reads entries, adds their places, opens reviews; it writes an entry of its own for what
-- retention states. Nobody else adds places or checkpoints
call fence('audit_progress');
grant usage on schema halyard to halyard_sealer;
grant select on audit_entries, audit_seals, audit_checkpoints, audit_reviews, audit_progress
    to halyard_sealer;
grant insert (entry_id, chain, recorded_at, body, person, actor) on audit_entries to halyard_sealer;
grant insert on audit_seals, audit_checkpoints, audit_reviews, audit_progress to halyard_sealer;
grant update on audit_progress to halyard_sealer;
create policy sealer on audit_entries to halyard_sealer using (true) with check (true);
create policy sealer on audit_seals to halyard_sealer using (true) with check (true);
create policy sealer on audit_checkpoints to halyard_sealer using (true) with check (true);
create policy sealer on audit_reviews to halyard_sealer using (true) with check (true);
create policy sealer on audit_progress to halyard_sealer using (true) with check (true);

-- Takes from `app` every right to change what the audit chain holds, also by way of a partition, to
-- seal, and to choose the transaction number by which entries are sealed. `halyard migrate` calls it
-- last: it grants all tables of the schema before
create function audit_fence(app regrole) returns void language plpgsql as $$
declare
    part regclass;
begin
    execute format(
        'revoke insert, update, delete, truncate on halyard.audit_entries, halyard.audit_seals, '
        'halyard.audit_checkpoints, halyard.audit_progress from %s', app);
    execute format('revoke insert, delete, truncate on halyard.audit_reviews from %s', app);
    execute format(
        'grant insert (entry_id, chain, recorded_at, body, person, actor) on halyard.audit_entries '
        'to %s', app);
    for part in select inhrelid from pg_inherits
        where inhparent in ('halyard.audit_entries'::regclass, 'halyard.accesses'::regclass)
    loop
        execute format('revoke all on %s from %s', part, app);
    end loop;
end
$$;
