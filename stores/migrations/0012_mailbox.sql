-- Letters: FHIR messages to organisations (answers, report requests, prompts), kept until they are
-- old. Reading marks nothing; the organisation acknowledges. A letter to an organisation with an
-- endpoint is pushed as well.
create sequence letter_order;

create table letters (
    letter_id uuid primary key, -- MessageHeader.id, and the delivery id of the push
    organisation text not null, -- whose it is
    kind text not null, -- the message event's code
    about uuid, -- the reported event: the receipt of the message that it answers
    message_id text, -- of the message that it answers
    case_id uuid,
    body bytea not null, -- clinical: the FHIR JSON, the same bytes at every reading and push
    needs_acknowledgement boolean not null,
    created_at timestamptz not null,
    acknowledged_at timestamptz,
    position bigint not null default nextval('letter_order'),
    -- Lists go on by the transaction that added the letter: below the oldest running one nothing can
    -- appear any more. After a restore of a logical dump into another cluster, number anew:
    --   update halyard.letters set added_xid = pg_current_xact_id();
    added_xid xid8 not null default pg_current_xact_id(),
    endpoint text, -- name in the directory; null: it is fetched only
    push text check (push in ('pending', 'pushed', 'parked')),
    due_at timestamptz not null default now(),
    lease_until timestamptz,
    attempts integer not null default 0,
    last_error text,
    pushed_at timestamptz,
    traceparent text not null,
    check ((endpoint is null) = (push is null))
);
create index letters_list on letters (organisation, added_xid, position);
create index letters_unacknowledged on letters (organisation, added_xid, position)
    where acknowledged_at is null;
create index letters_awaited on letters (case_id)
    where needs_acknowledgement and acknowledged_at is null;
create index letters_answers on letters (organisation, message_id);
create index letters_about on letters (organisation, about);
create index letters_pending on letters (endpoint, organisation, position) where push = 'pending';
create index letters_waiting on letters (created_at) where push = 'pending';
create index letters_parked on letters (endpoint) where push = 'parked';
create index letters_old on letters (created_at);
