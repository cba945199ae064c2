-- Who looked at a child's flags, and which authority was told of it (DESIGN, access events).
-- Of a child here is a pseudonym (store key) alone; of who looked what the issuer says of them.
create table accesses (
    access_id uuid not null,
    person text not null, -- pseudonym (store key)
    looked_at timestamptz not null,
    organisation text not null, -- of who looked
    author text not null, -- stable id of person or client within its issuer
    author_name text, -- personal: a member of staff
    author_person boolean not null, -- a human being, not a system
    job_role text,
    roles text[] not null,
    purpose text not null,
    reason text, -- clinical: in the author's own words
    unscheduled boolean not null,
    interface text not null,
    request_id text not null,
    flagged boolean not null, -- a plan was shown
    -- shown with the flag: a look at one, and none of the same author in the 24 h before it
    listed boolean not null,
    primary key (access_id, looked_at)
) partition by range (looked_at);
-- Months are added ahead and dropped whole; what falls outside them is kept here
create table accesses_other partition of accesses default;
create index accesses_listed on accesses (person, looked_at) where listed;
create index accesses_organisation on accesses (organisation, looked_at);

-- What authorities were told of: one look of an author at a child in 24 h (and every break-glass)
create table access_notices (
    access_id uuid not null,
    authority text not null,
    person text not null,
    organisation text not null, -- with the author: whose look
    author text not null,
    looked_at timestamptz not null,
    primary key (access_id, authority)
);
create index access_notices_person on access_notices (person, looked_at);

-- The face records every look, its own organisation's alone, and shows who looked at those asked about
call fence('accesses');
grant select, insert on accesses to halyard_face;
create policy face_sees on accesses for select to halyard_face
    using (person = any (face_persons()));
create policy face_adds on accesses for insert to halyard_face
    with check (organisation = face_organisation() and person = any (face_persons()));
call fence('access_notices'); -- nothing of the face's
