-- Extracts: who has opted out, and the register of what was released. The face uses none of it: no
-- grant is its fence (0018).

-- The national data opt-out, as last imported: a whole list each time, so that who takes an opt-out
-- back is honoured too
create table opt_outs (
    person text primary key -- pseudonym (store key)
);
create table opt_out_imports (
    imported_at timestamptz primary key,
    amount integer not null,
    by text not null
);

create table releases (
    release_id uuid primary key,
    reference text not null unique,
    -- held: a Caldicott guardian decides; released: may be collected; refused; handed: files are out
    state text not null check (state in ('held', 'released', 'refused', 'handed')),
    organisation text not null, -- ODS code, or how the agreement calls it
    sector text not null,
    title text not null,
    policy text not null,
    policy_version integer not null,
    purpose text not null,
    legal_basis text not null,
    rule text not null, -- of the ruling: why it was permitted, or is held
    fields text[] not null,
    five_safes jsonb not null, -- people, project, setting, data, outputs
    requested_at timestamptz not null,
    requested_by text not null,
    decided_at timestamptz,
    decided_by text,
    decided_reason text,
    handed_at timestamptz,
    rows integer,
    -- why cases were left out, and how many: codes and counts
    left_out jsonb not null default '{}',
    opt_outs_value text,
    opt_outs_reason text,
    opt_outs_as_at timestamptz
);

create table release_files (
    release_id uuid not null references releases,
    name text not null,
    rows integer not null,
    bytes bigint not null,
    sha256 text not null,
    released_at timestamptz not null,
    primary key (release_id, name)
);
