-- What organisations have traced: files of thousands, and one person (a batch of one line). The face
-- writes rows here; the tracer asks PDS. Every answer ends its line and its request in one transaction
create table trace_batches (
    batch_id uuid primary key,
    organisation text not null, -- ODS or GSS code: on whose behalf PDS is asked
    kind text not null check (kind in ('file', 'person')),
    -- dropped: the same file was there before, or it broke off; its rows go
    state text not null default 'loading'
        check (state in ('loading', 'running', 'done', 'cancelled', 'dropped')),
    purpose text not null,
    reason text, -- in the asker's words
    made_by text not null,
    made_at timestamptz not null default now(),
    digest text, -- keyed, of the file's bytes
    lines integer not null default 0, -- taken
    refused integer not null default 0,
    answered integer not null default 0,
    counts jsonb not null default '{}', -- lines by outcome
    done_at timestamptz,
    emptied_at timestamptz, -- lines' details and results are told nobody any more
    cleared boolean not null default false -- and are gone, page by page
);
create unique index trace_batches_file on trace_batches (organisation, digest)
    where kind = 'file' and state in ('running', 'done') and emptied_at is null;
create index trace_batches_made on trace_batches (organisation, made_at);
create index trace_batches_open on trace_batches (batch_id) where state in ('loading', 'running', 'dropped');
create index trace_batches_clear on trace_batches (batch_id)
    where emptied_at is not null and not cleared;
create index trace_batches_cancelled on trace_batches (batch_id) where state = 'cancelled' and emptied_at is null;
create index trace_batches_persons on trace_batches (made_at) where kind = 'person' and emptied_at is null;
create index trace_batches_done on trace_batches (done_at) where emptied_at is null;

create table trace_items (
    batch_id uuid not null references trace_batches on delete cascade,
    line integer not null,
    state text not null check (state in ('refused', 'waiting', 'asked', 'done', 'cancelled')),
    question text, -- keyed: lines of a batch that ask the same are asked once
    trace_id uuid, -- the request that asks, while it does
    number_token text, -- pseudonym of the number that was sent
    details text, -- keyed: birth date and names that were sent beside it
    local_id text, -- clinical: the organisation's own id of the person
    claim jsonb not null default '{}', -- clinical; kept while the line has no number
    basis text, -- trace-file: the number in the claim is a trace file's word
    outcome text,
    rule text,
    place text, -- of a refused line: its column
    nhs_number text, -- clinical: whom the line was verified to be
    person text, -- pseudonym of that number
    restricted boolean not null default false,
    fields jsonb, -- how the fields that were sent stand to the record; no value
    answered_at timestamptz,
    primary key (batch_id, line)
);
create index trace_items_waiting on trace_items (batch_id, line) where state = 'waiting';
create index trace_items_asked on trace_items (trace_id) where state = 'asked';
create index trace_items_live on trace_items (batch_id, question) where state = 'asked';
create index trace_items_question on trace_items (batch_id, question) where question is not null;

-- Which details an organisation has had compared with a number's record in the last 24 hours: who may send
-- any number of them is told who somebody is
create table trace_numbers (
    organisation text not null,
    number_token text not null,
    details text not null,
    said_at timestamptz not null,
    primary key (organisation, number_token, details)
);
create index trace_numbers_said on trace_numbers (said_at);

call fence('trace_batches');
grant select on trace_batches to halyard_face;
grant insert (batch_id, organisation, kind, purpose, reason, made_by) on trace_batches to halyard_face;
grant update (state, digest, lines, refused, counts, done_at) on trace_batches to halyard_face;
create policy face_sees on trace_batches for select to halyard_face
    using (organisation = face_organisation());
create policy face_adds on trace_batches for insert to halyard_face
    with check (organisation = face_organisation());
create policy face_moves on trace_batches for update to halyard_face
    using (organisation = face_organisation()) with check (organisation = face_organisation());

-- Lines are added while their file comes, and never changed by the face
call fence('trace_items');
grant select (batch_id, line, state, number_token, local_id, outcome, rule, place, nhs_number, person,
    restricted, fields, answered_at) on trace_items to halyard_face;
grant insert (batch_id, line, state, question, number_token, details, local_id, claim, outcome, rule, place)
    on trace_items to halyard_face;
create policy face_sees on trace_items for select to halyard_face
    using (exists (select from trace_batches b where b.batch_id = trace_items.batch_id));
create policy face_adds on trace_items for insert to halyard_face
    with check (exists (select from trace_batches b
        where b.batch_id = trace_items.batch_id and b.state = 'loading'));
