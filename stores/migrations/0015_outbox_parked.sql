-- A record that can never be sent (too large) is set aside, and its lane goes on; a person gives it
-- back when what stopped it is mended
alter table outbox add column parked_at timestamptz;
alter table outbox add column parked_reason text;
create index outbox_parked on outbox (id) where parked_at is not null;
drop index outbox_waiting;
create index outbox_waiting on outbox (lane, id) where published_at is null and parked_at is null;

-- Letters that were deleted for age. One that is written anew under its id is not sent again, and
-- whoever had one about a case hears if that is void
create table letters_gone (
    letter_id uuid primary key,
    organisation text not null,
    kind text not null,
    case_id uuid
);
create index letters_gone_case on letters_gone (case_id) where case_id is not null;

-- Whether a letter was overtaken: one behind it went through
create index letters_pushed on letters (endpoint, organisation, position) where push = 'pushed';
