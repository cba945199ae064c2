-- Report requests about a child's death; prompts that ask a hospital to notify one; the note at a
-- person's flags that says so.
create table report_requests (
    request_id uuid primary key, -- follows from case, body and role
    case_id uuid not null,
    version integer not null,
    state text not null check (state in
        ('REQUESTED', 'PARTIAL', 'SUBMITTED', 'NOTHING_KNOWN', 'DECLINED', 'CANCELLED')),
    requested_at timestamptz not null,
    due_at timestamptz not null,
    panel text, -- who asks
    agency text not null, -- ODS or GSS code; empty for a body that the hub does not know
    agency_name text not null, -- clinical: of such a body, perhaps of a person
    role text not null,
    rule text not null, -- why this body
    sections text[] not null,
    person text, -- the verified child that its last letter was about
    changed_at timestamptz not null
);
create index report_requests_case on report_requests (case_id);

-- A death that is told of a verified person stands beside that person's flags until it is taken back
create table death_notes (
    case_id uuid not null,
    person text not null, -- each verified child of the case: a merge may leave it two numbers
    noted_at timestamptz not null,
    withdrawn_at timestamptz,
    primary key (case_id, person)
);
create index death_notes_person on death_notes (person) where withdrawn_at is null;

-- Deaths that a hospital's record or PDS indicates, and nobody has notified
create table death_prompts (
    prompt_id uuid primary key, -- of the person, else of the source's patient
    person text,
    source text not null,
    indication text not null,
    rule text not null,
    organisation text, -- who is asked; null: nobody is known to ask
    state text not null check (state in ('open', 'answered', 'cancelled')),
    event_id uuid not null, -- the reported event
    indicated_at timestamptz not null, -- the latest indication is the truth
    opened_at timestamptz not null,
    changed_at timestamptz not null,
    case_id uuid -- of the notification that answered it
);
create index death_prompts_open on death_prompts (opened_at, prompt_id) where state = 'open';
create index death_prompts_answered on death_prompts (case_id) where state = 'answered';
create index death_prompts_closed on death_prompts (changed_at) where state <> 'open';

-- Keyed tokens by which a prompt and a notification are known to be of one person
create table death_prompt_tokens (
    token text not null,
    prompt_id uuid not null references death_prompts on delete cascade,
    primary key (token, prompt_id)
);
create table death_notified_tokens (
    token text not null,
    case_id uuid not null, -- of a notification that is not void
    primary key (token, case_id)
);
create index death_notified_tokens_case on death_notified_tokens (case_id);

-- What people decided about cases, and why
create table case_commands (
    command_id uuid primary key, -- also the cause of the versions that it made
    kind text not null,
    case_id uuid not null,
    other uuid,
    panel text,
    by text not null, -- role or work name
    reason text not null, -- clinical
    decided_at timestamptz not null
);
create index case_commands_case on case_commands (case_id, decided_at);
create index case_commands_other on case_commands (other, decided_at) where other is not null;

-- What was told of a case and must be taken back if it no longer holds: who was asked to check the
-- household, who was told that the case is void. Letters are purged, this is not
create table case_told (
    case_id uuid not null,
    organisation text not null,
    kind text not null check (kind in ('household-check', 'case-voided')),
    round integer not null, -- how often by now: each has a letter of its own
    person text, -- the verified child that it was about
    told_at timestamptz not null,
    withdrawn_at timestamptz,
    primary key (case_id, organisation, kind)
);

-- Which panels had each version, so that a void reaches them without reading the versions
alter table case_events
    add column panel text,
    add column informed text[] not null default '{}';
