-- The system of record (DESIGN, stores). People stand here by pseudonym (store key); the columns
-- that hold a number, a name or a sender's bytes are marked "clinical".
-- Claims, identities, trace requests and the outbox are purged; the other clinical columns are not
-- yet (threat T12).

-- What each stage has taken; rows must outlive every topic (dead letters: 90 days), and stay
create table inbox (
    stage text not null,
    event_id uuid not null,
    taken_at timestamptz not null default now(),
    primary key (stage, event_id)
);

-- What is to be on the bus; published by lane in id order, ids drawn under the key's lock
create table outbox (
    id bigint generated always as identity primary key,
    lane integer not null,
    topic text not null,
    key text not null,
    headers jsonb not null,
    value bytea not null, -- clinical
    event_id uuid not null,
    created_at timestamptz not null default now(),
    published_at timestamptz
);
create index outbox_waiting on outbox (lane, id) where published_at is null;
create index outbox_published on outbox (published_at) where published_at is not null;

-- Verified people the hub has a reason to know (a flag, or a visit within 48 hours)
create table identities (
    person text primary key, -- also the equality token of the number
    nhs_number text not null, -- clinical
    names jsonb not null, -- clinical; family, given, other_families, other_given
    birth_date text, -- clinical
    gender text,
    postcode text, -- clinical; null when restricted
    restricted boolean not null default false,
    deceased boolean not null default false,
    demographic_tokens text[] not null default '{}', -- keyed: family + birth date
    verified_at timestamptz not null,
    flagged boolean not null default false, -- has or had a plan that is shown
    flagged_at timestamptz, -- when a plan was last verified
    keep_until timestamptz not null
);
create index identities_keep on identities (keep_until);

-- The tokens of demographic_tokens, by token: an index over an array costs with the size of the table
create table identity_demographics (
    token text not null,
    person text not null references identities on delete cascade,
    primary key (token, person)
);
create index identity_demographics_person on identity_demographics (person);

-- One row per reported event: what identity decided, and the claim while it may be decided anew
create table claims (
    reported_event_id uuid primary key,
    position bigint generated always as identity, -- order of a key's events
    key text not null, -- source person: the bus key of the event
    event_kind text not null check (event_kind in ('attendance', 'flag')),
    visit_id uuid,
    state text not null check (state in
        ('waiting', 'provisional', 'verified', 'unresolved', 'not_traced', 'not_used', 'rejected')),
    rule text not null,
    indicator text not null,
    priority smallint, -- of the trace this claim asks for itself; null if it only waits behind others
    person text, -- asserted person
    restricted boolean not null default false,
    revision integer not null default 0, -- of the last thing said of it on the bus
    number_token text, -- pseudonym of the number as sent, if usable
    demographic_token text, -- keyed: family + birth date as sent
    received_at timestamptz not null,
    decided_at timestamptz not null,
    traceparent text not null,
    event bytea -- clinical: the reported event (wire format, without the sender's bytes); emptied by retention
);
create index claims_key on claims (key, received_at);
create index claims_visit on claims (visit_id) where visit_id is not null;
create index claims_open_key on claims (key) where state in ('waiting', 'provisional');
create index claims_number on claims (number_token, received_at)
    where event_kind = 'attendance' and state in ('waiting', 'unresolved', 'not_traced');
create index claims_demographic on claims (demographic_token, received_at)
    where event_kind = 'attendance' and state in ('waiting', 'unresolved', 'not_traced');
create index claims_retention on claims (received_at) where event is not null;
create index claims_provisional on claims (person) where state = 'provisional';

-- A key whose events wait for a trace, or go on provisionally to one candidate
create table parked_keys (
    key text primary key,
    trace_id uuid not null,
    candidate text, -- person of the provisional alert
    since timestamptz not null default now()
);
create index parked_keys_trace on parked_keys (trace_id);

create table trace_requests (
    trace_id uuid primary key,
    fingerprint text not null, -- single-flight: keyed digest of what is asked
    token text not null, -- number or family + birth date: the lock that guards the request
    kind text not null check (kind in ('get', 'search')),
    priority smallint not null check (priority between 1 and 5),
    claim jsonb not null, -- clinical; emptied when done
    organisation text not null, -- NHSD-End-User-Organisation-ODS
    request_ids uuid[] not null, -- X-Request-ID of each query, stored before the call
    state text not null default 'queued' check (state in ('queued', 'leased', 'done', 'cancelled')),
    lease_until timestamptz,
    due_at timestamptz not null default now(),
    attempts integer not null default 0,
    outcome text,
    created_at timestamptz not null default now(),
    done_at timestamptz
);
create unique index trace_requests_single_flight on trace_requests (fingerprint) where state in ('queued', 'leased');
create index trace_requests_due on trace_requests (priority, created_at) where state in ('queued', 'leased');
create index trace_requests_ended on trace_requests (done_at) where state in ('done', 'cancelled');

-- One token bucket for all tracers; the row is the lock
create table pds_ration (
    singleton boolean primary key default true check (singleton),
    tokens double precision not null default 0,
    refilled_at timestamptz not null default now(),
    failures integer not null default 0, -- calls without an answer in a row
    breaker_until timestamptz
);
insert into pds_ration default values;

create table worklist (
    entry_id uuid primary key,
    reported_event_id uuid not null unique,
    event_kind text not null,
    organisation text not null, -- who sees it: ODS or GSS code
    source text not null,
    rule text not null,
    indicator text not null,
    local_id text, -- clinical: the sender's own id of the person
    upload_id uuid,
    line integer,
    opened_at timestamptz not null,
    closed_at timestamptz,
    closed_rule text
);
create index worklist_open on worklist (organisation, opened_at) where closed_at is null;

create table uploads (
    upload_id uuid primary key,
    authority text not null,
    sequence bigint not null,
    received_at timestamptz not null,
    expected integer -- from the trailer; null until it is known
);

-- Answer of each line (CP-ISUploadRecordResponse codes CPR01..CPR07); null until known
create table upload_answers (
    upload_id uuid not null,
    line integer not null,
    reported_event_id uuid not null,
    local_id text, -- clinical: the authority's own id
    code text,
    detail text,
    answered_at timestamptz,
    primary key (upload_id, line)
);
create index upload_answers_event on upload_answers (reported_event_id);

-- Every flag record as asserted; flags fold from these
create table flag_events (
    reported_event_id uuid primary key,
    revision integer not null,
    retracted boolean not null,
    authority text not null,
    person text not null,
    plan_type text not null,
    start_date date,
    end_date date,
    delete_date date,
    sequence bigint not null,
    line integer not null,
    local_id text, -- clinical
    phone_office text,
    phone_emergency text,
    nhs_number text not null, -- clinical
    birth_date text, -- clinical
    restricted boolean not null,
    received_at timestamptz not null
);
create index flag_events_person on flag_events (person);

create table flags (
    authority text not null,
    person text not null,
    plan_type text not null,
    start_date date not null,
    end_date date,
    local_id text, -- clinical
    phone_office text,
    phone_emergency text,
    nhs_number text not null, -- clinical
    birth_date text, -- clinical
    restricted boolean not null,
    sequence bigint not null, -- the record that states it now
    line integer not null,
    active_since timestamptz not null, -- receive time of the record that made it active
    changed_at timestamptz not null,
    primary key (authority, person, plan_type, start_date)
);
create index flags_person on flags (person);

-- Every asserted event of a visit; visits fold from these
create table visit_events (
    reported_event_id uuid primary key,
    revision integer not null,
    retracted boolean not null,
    visit_id uuid not null,
    source_patient text not null,
    person text not null,
    received_at timestamptz not null,
    traceparent text not null,
    event bytea not null -- clinical: AttendanceVerified, wire format
);
create index visit_events_visit on visit_events (visit_id);

-- The folded visit: pseudonym, site, department and time
create table visits (
    visit_id uuid primary key,
    source_patient text not null,
    person text, -- whom the fold names now; null after a retraction
    hospital text not null,
    live boolean not null, -- an arrival that is not cancelled
    state text not null check (state in ('present', 'departed', 'cancelled', 'none')),
    arrived_at timestamptz, -- of the first arrival that is not cancelled
    arrived_offset integer not null default 0, -- minutes, as the sender meant it
    arrived_repeated boolean not null default false, -- the hour that October has twice
    received_at timestamptz not null, -- of the first arrival, else of the first event
    late boolean not null, -- every arrival was older than 24 h when it was received
    provisional boolean not null, -- no event that names the person is verified
    restricted boolean not null,
    department text, -- the hospital's own code
    site_ods text,
    admission_method text,
    mode_of_arrival text, -- clinical
    reason text, -- clinical
    changed_at timestamptz not null
);
create index visits_person on visits (person, received_at);
create index visits_patient on visits (source_patient, received_at);

-- One alert per (episode, person, authority)
create table alerts (
    alert_id uuid primary key,
    person text not null,
    authority text not null,
    hospital text not null,
    source_patient text not null,
    visit_ids uuid[] not null, -- the episode's visits
    version integer not null,
    state text not null check (state in ('raised', 'accepted', 'closed', 'withdrawn')),
    provisional boolean not null,
    late boolean not null,
    restricted boolean not null,
    rule text not null,
    content bytea not null, -- clinical: AlertChanged of this version, wire format
    content_digest text not null,
    round integer not null default 1, -- a new flag opens a new round
    raised_at timestamptz not null,
    changed_at timestamptz not null,
    arrival_received_at timestamptz not null,
    delivered_at timestamptz,
    seen_at timestamptz,
    accepted_at timestamptz,
    accepted_by text,
    answer text, -- clinical
    closed_at timestamptz,
    withdrawn_at timestamptz,
    traceparent text not null
);
create index alerts_person on alerts (person);
create index alerts_authority on alerts (authority, changed_at, alert_id);
create index alerts_hospital on alerts (hospital, changed_at, alert_id);

create sequence delivery_order;
create table deliveries (
    delivery_id uuid primary key,
    position bigint not null default nextval('delivery_order'), -- order inside one (destination, alert)
    destination text not null, -- endpoint name of the directory
    alert_id uuid not null,
    version integer not null,
    kind text not null check (kind in ('alert', 'match', 'receipt')),
    body bytea not null, -- clinical: the JSON that is sent
    state text not null default 'open' check (state in ('open', 'delivered', 'superseded', 'parked')),
    due_at timestamptz not null default now(),
    lease_until timestamptz,
    attempts integer not null default 0,
    last_error text,
    event_id uuid not null, -- what caused it
    traceparent text not null,
    created_at timestamptz not null default now(),
    done_at timestamptz,
    unique (destination, alert_id, version, kind)
);
-- by destination: a long queue of one costs the others nothing
create index deliveries_open on deliveries (destination, due_at, position) where state = 'open';
create index deliveries_alert on deliveries (destination, alert_id, position);

create table breakers (
    destination text primary key,
    failures integer not null default 0,
    open_until timestamptz
);

-- Who wants a stage to stand still, and why; the control topic is only a nudge
create table pauses (
    stage text primary key,
    reason text not null,
    by text not null,
    since timestamptz not null default now()
);

-- Index of every topic, for `halyard trace`; no bodies
create table journal (
    topic text not null,
    partition integer not null,
    kafka_offset bigint not null,
    event_id uuid not null,
    event_type text not null,
    source text not null,
    trace_id text not null,
    caused_by uuid, -- the reported event, else the alert, that the event names
    event_time timestamptz not null,
    recorded_at timestamptz not null,
    value_bytes integer not null,
    value_digest text not null, -- keyed; repeats must be the same bytes
    primary key (topic, partition, kafka_offset)
);
create index journal_event on journal (event_id);
create index journal_trace on journal (trace_id);
create index journal_cause on journal (caused_by);

create table journal_offsets (
    topic text not null,
    partition integer not null,
    next_offset bigint not null,
    primary key (topic, partition)
);
