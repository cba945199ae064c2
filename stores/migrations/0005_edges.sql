-- What hospitals say beyond arrival and discharge: merged patients, births, leave, hidden places
create table merges (
    retired_key text primary key, -- source person (bus key) that is no longer used
    retired_patient text not null, -- the same under the store key
    surviving_key text not null,
    surviving_patient text not null,
    recorded_at timestamptz not null, -- the latest recorded of a retired patient holds
    message_at timestamptz not null,
    event_id uuid not null -- the reported merge
);
create index merges_surviving on merges (surviving_key);

alter table visits
    add column acuity text, -- clinical
    add column departed_at timestamptz,
    add column departed_offset integer not null default 0,
    add column departed_repeated boolean not null default false,
    add column discharge_destination text, -- clinical
    add column birth boolean not null default false, -- of a baby to this person, who is the mother
    add column location_shielded boolean not null default false;

-- An alert that others than its restricted contact had been told of, when it became restricted
alter table alerts add column withheld_at timestamptz;
