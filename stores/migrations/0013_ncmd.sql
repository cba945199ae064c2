-- The NCMD store: cases of child deaths, for the National Child Mortality Database. A schema of its
-- own that only its own role (halyard_ncmd) may use, filled from child-death.case.changed.v1 alone.
-- The hub's app role has no right here, and the store's role none in the schema halyard.
create schema ncmd;
revoke all on schema ncmd from public;
revoke all on schema public from public;

-- Where the store stands in the log: written in the transaction of the records before. The truth;
-- the consumer group's offsets are told for the lag alone
create table ncmd.offsets (
    topic text not null,
    partition integer not null,
    incarnation text not null default '', -- the topic's id on its cluster: another log, another id
    next_offset bigint not null check (next_offset >= 0),
    applied_at timestamptz not null default now(),
    primary key (topic, partition)
);

-- Every version of every case, as it came: what as-of questions are answered from. Never changed
create table ncmd.history (
    case_id uuid not null,
    version integer not null check (version > 0),
    event_id uuid not null,
    change text not null,
    rule text not null,
    state text not null,
    changed_at timestamptz not null,
    cause uuid not null,
    decided_by text,
    needs_person boolean not null, -- it names something that this version of Halyard does not know
    content bytea not null, -- the event, in the wire format
    written_at timestamptz not null default now(),
    primary key (case_id, version)
);
create index history_changed on ncmd.history (case_id, changed_at, version);

-- The newest version of each case
create table ncmd.cases (
    case_id uuid primary key,
    version integer not null,
    change text not null,
    rule text not null,
    changed_at timestamptz not null,
    needs_person boolean not null,
    state text not null,
    eligibility text not null,
    eligibility_rule text not null,
    indicator text not null,
    identity_rule text not null,
    nhs_number text, -- null for a voided case
    restricted boolean not null,
    panel text,
    panel_rule text not null,
    panels_informed text[] not null,
    needs text[] not null,
    conflicts text[] not null,
    flag_history text not null,
    known_as_at timestamptz, -- of flags and attendances
    merged_into uuid
);
create index cases_nhs_number on ncmd.cases (nhs_number) where nhs_number is not null;
create index cases_panel on ncmd.cases (panel, state);

-- What organisations say of a case now; none for a voided one
create table ncmd.facts (
    case_id uuid not null references ncmd.cases on delete cascade,
    position integer not null,
    name text not null,
    row_number integer not null,
    organisation text not null,
    event_id uuid not null,
    value text,
    absent text,
    kind text not null,
    as_at text,
    stated_at timestamptz not null,
    form text not null,
    primary key (case_id, position)
);
create index facts_name on ncmd.facts (name);

-- What a case is connected with: notification, report, request, tracking, flag, attendance, merged
-- (into another case), absorbed and duplicate (other cases). Of a voided case its notifications alone
create table ncmd.links (
    case_id uuid not null references ncmd.cases on delete cascade,
    kind text not null,
    position integer not null,
    organisation text not null default '',
    key text not null default '', -- reference, number, role, department: what the organisation calls it
    source text not null default '',
    version integer,
    state text not null default '',
    at timestamptz,
    from_day text,
    to_day text,
    event_id uuid,
    request_id uuid,
    other_case uuid,
    reason text,
    primary key (case_id, kind, position)
);
create index links_key on ncmd.links (kind, key);
create index links_other on ncmd.links (other_case) where other_case is not null;

-- A void: when, by which version, why; and the version that took it back
create table ncmd.tombstones (
    case_id uuid not null references ncmd.cases on delete cascade,
    version integer not null,
    reason text not null,
    voided_at timestamptz not null,
    lifted_version integer,
    lifted_at timestamptz,
    primary key (case_id, version)
);

-- Versions that were not there when a higher one came. What comes later fills them: then history
-- has them, and nothing is open
create table ncmd.version_gaps (
    case_id uuid not null,
    after_version integer not null,
    before_version integer not null check (before_version > after_version + 1),
    noticed_at timestamptz not null default now(),
    primary key (case_id, before_version)
);

-- Where the log did not reach back to the store's offset, and a person let it go on
create table ncmd.log_gaps (
    topic text not null,
    partition integer not null,
    expected_offset bigint not null,
    found_offset bigint not null,
    incarnation text not null,
    noticed_at timestamptz not null default now(),
    primary key (topic, partition, incarnation, expected_offset, found_offset)
);

-- Records that could not be read or kept; the bytes are in the dead-letter topic
create table ncmd.dead_letters (
    topic text not null,
    partition integer not null,
    kafka_offset bigint not null,
    reason text not null, -- never with a value
    written_at timestamptz not null default now(),
    primary key (topic, partition, kafka_offset, written_at)
);

-- What goes to the HTTP interface, if there is one: a row for each version of a case, of which the
-- newest unsent supersedes older ones. The message id is kept on every retry
create table ncmd.submissions (
    case_id uuid not null,
    version integer not null,
    voided boolean not null,
    message_id uuid unique,
    kind text, -- submission, update, void: decided when it is first sent
    body bytea, -- of the first attempt: every other sends the same
    state text not null check (state in
        ('pending', 'sent', 'acknowledged', 'rejected', 'superseded', 'failed')),
    attempts integer not null default 0,
    round integer not null default 1, -- one more each time a refused message is sent anew
    due_at timestamptz not null,
    last_reason text,
    filed_at timestamptz not null,
    sent_at timestamptz, -- when it was taken without an answer
    answered_at timestamptz,
    primary key (case_id, version)
);
create index submissions_open on ncmd.submissions (due_at) where state in ('pending', 'sent');
