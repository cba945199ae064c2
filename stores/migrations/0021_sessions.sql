-- Browsers' sessions: who has logged in, until when. The cookie's value stands here by its SHA-256
-- alone, and no token of the issuer is kept. Names are those of staff, as the issuer states them.
create table sessions (
    session_hash text primary key,
    organisation text not null,
    subject text not null,
    name text,
    job_role text,
    roles text[] not null,
    created_at timestamptz not null,
    seen_at timestamptz not null,
    ends_at timestamptz not null -- whatever happens
);
create index sessions_subject on sessions (organisation, subject, created_at);
create index sessions_ends_at on sessions (ends_at);
create index sessions_seen_at on sessions (seen_at);

-- The face finds the one session whose digest it names (halyard.session, for the transaction), and at
-- a log-in those of the organisation that logs in
create function face_session() returns text language sql stable parallel safe
    return nullif(current_setting('halyard.session', true), '');
call fence('sessions');
grant select, insert, delete on sessions to halyard_face;
grant update (seen_at) on sessions to halyard_face;
create policy face_sees on sessions for select to halyard_face
    using (session_hash = face_session() or organisation = face_organisation());
create policy face_adds on sessions for insert to halyard_face
    with check (organisation = face_organisation());
create policy face_uses on sessions for update to halyard_face
    using (session_hash = face_session()) with check (session_hash = face_session());
create policy face_ends on sessions for delete to halyard_face
    using (session_hash = face_session() or organisation = face_organisation());
