-- Cases of child deaths: what senders said of them (messages), what stands of it (notifications,
-- reports), what it makes (cases, their history), and which may be one (tokens, proposals).
-- People by pseudonym (store key), clinical columns marked as in 0001.

-- Every message about a death, and every report, as identity has it; the live state folds from these
create table case_messages (
    reported_event_id uuid primary key,
    stream text not null check (stream in ('death', 'report')),
    source text not null,
    source_patient text not null, -- pseudonym of source and reference
    message_id text not null,
    organisation text not null,
    kind text not null,
    version integer not null,
    content_digest text not null, -- keyed, of what the message says: tells a repeat from a re-used version
    standing text not null check (standing in
        ('applied', 'superseded', 'promoted', 'held', 'remembered', 'repeated', 'rejected')),
    rule text not null, -- what decided the standing
    received_at timestamptz not null,
    due_at timestamptz, -- end of the hold; null once it is over
    revision integer not null, -- of the identity
    answered_at timestamptz, -- acknowledged or rejected: once
    traceparent text not null,
    event bytea not null -- clinical: DeathVerified or ReportVerified, wire format, without the sender's bytes
);
create unique index case_messages_id on case_messages (source, message_id) where rule <> 'id-reuse';
create index case_messages_thread on case_messages (source, source_patient);
create index case_messages_due on case_messages (due_at) where standing = 'held';

create table cases (
    case_id uuid primary key,
    person text, -- verified child, if any
    state text not null,
    version integer not null,
    content bytea not null, -- clinical: CaseChanged of this version, wire format
    opened_at timestamptz not null,
    changed_at timestamptz not null,
    merged_into uuid references cases,
    voided_by_person boolean not null default false,
    assigned_panel text, -- a person's assignment
    assigned_reason text, -- clinical
    assigned_by text,
    assigned_at timestamptz,
    panel text, -- of the content, as the next two: for lists
    eligibility text not null,
    needs text[] not null default '{}'
);
create index cases_person on cases (person) where person is not null;
create index cases_merged on cases (merged_into) where merged_into is not null;
create index cases_list on cases (opened_at, case_id);

-- The history, and the guard: of two writers of one version one fails and tries again
create table case_events (
    case_id uuid not null references cases deferrable initially deferred,
    version integer not null,
    event_id uuid not null,
    change text not null,
    rule text not null,
    cause uuid not null,
    by text,
    changed_at timestamptz not null,
    content bytea not null, -- clinical: CaseChanged, wire format
    primary key (case_id, version)
);

-- A sender's notification as it stands; each opens a case of its own
create table case_notifications (
    source text not null,
    source_patient text not null,
    case_id uuid not null unique,
    current_event_id uuid not null, -- the message whose content holds
    voided boolean not null,
    void_reason text,
    first_received_at timestamptz not null,
    primary key (source, source_patient)
);

create table case_reports (
    source text not null,
    source_patient text not null,
    current_event_id uuid not null,
    case_id uuid, -- null while no case is known to be meant
    person text,
    request_id uuid,
    attached boolean not null default false, -- a person said of which case it is
    primary key (source, source_patient)
);
create index case_reports_case on case_reports (case_id) where case_id is not null;
create index case_reports_person on case_reports (person) where person is not null;

-- Keyed tokens by which duplicate candidates find each other
create table case_tokens (
    token text not null,
    case_id uuid not null,
    primary key (token, case_id)
);
create index case_tokens_case on case_tokens (case_id);

-- Two cases that may be one death: a person decides
create table case_proposals (
    one uuid not null,
    other uuid not null,
    score double precision not null,
    rule text not null,
    agreements text[] not null,
    differences text[] not null,
    state text not null check (state in ('proposed', 'withdrawn', 'merged', 'rejected')),
    proposed_at timestamptz not null,
    changed_at timestamptz not null,
    decided_by text,
    decided_reason text, -- clinical
    decided_at timestamptz,
    primary key (one, other),
    check (one < other)
);
create index case_proposals_other on case_proposals (other);
create index case_proposals_open on case_proposals (proposed_at) where state = 'proposed';

-- What hospitals' records and PDS said about the death of a child of whom there is a case
create table case_indications (
    event_id uuid primary key,
    revision integer not null, -- of the identity: a lower one changes nothing
    person text, -- null: of nobody of whom there is a case, as of this revision
    indication text not null,
    organisation text not null,
    indicated_at timestamptz not null,
    died_at text -- clinical
);
create index case_indications_person on case_indications (person) where person is not null;
