-- Row-level security: the second fence round an organisation's rows (docs/adr/0034). `halyard serve`
-- logs in as halyard_face, which sees what these policies let it see for the organisation and the
-- persons of its transaction (`halyard.postgres.scoped`), and without them nothing. Workers log in as
-- halyard_app and see everything. Tables' owner is not held (no FORCE): it migrates, and no process
-- that serves anybody logs in as it.
--
-- The idiom, for a table that the face is to use; in the migration that makes the table:
--
--     call fence('things');                            -- security on; halyard_app sees all
--     grant select on things to halyard_face;          -- the least: name columns where some suffice
--     create policy face_sees on things for select to halyard_face
--         using (organisation = face_organisation());  -- or: person = any (face_persons())
--
-- A row that belongs to a row of another table: `exists (select from others o where o.id = things.id)`.
-- Never `id in (select id from others)`: for each row PostgreSQL would read all that one may see there.
-- An UPDATE needs a grant of its columns, a policy `for update` and one `for select`; an INSERT that
-- returns nothing needs neither of the two. A table that the face does not use gets nothing: no grant
-- is a fence too. `halyard doctor` names a table that the face could read without a policy.

create function face_organisation() returns text language sql stable parallel safe
    return nullif(current_setting('halyard.organisation', true), '');

create function face_persons() returns text[] language sql stable parallel safe
    return string_to_array(nullif(current_setting('halyard.persons', true), ''), ',');

create procedure fence(fenced regclass) language plpgsql as $$
begin
    execute format('alter table %s enable row level security', fenced);
    execute format('create policy app on %s to halyard_app using (true) with check (true)', fenced);
end
$$;

-- An authority's files and their answers
call fence('uploads');
grant select on uploads to halyard_face;
create policy face_sees on uploads for select to halyard_face
    using (authority = face_organisation());
call fence('upload_answers');
grant select on upload_answers to halyard_face;
create policy face_sees on upload_answers for select to halyard_face
    using (exists (select from uploads u where u.upload_id = upload_answers.upload_id));

call fence('worklist');
grant select on worklist to halyard_face;
create policy face_sees on worklist for select to halyard_face
    using (organisation = face_organisation());

-- Whom an own record is about, for the audit entry of showing what became of it
call fence('claims');
grant select (reported_event_id, person) on claims to halyard_face;
create policy face_sees on claims for select to halyard_face
    using (exists (select from upload_answers a where a.reported_event_id = claims.reported_event_id)
        or exists (select from worklist w where w.reported_event_id = claims.reported_event_id));

-- Alerts: seen by both sides, accepted by the authority alone
call fence('alerts');
grant select on alerts to halyard_face;
grant update (state, accepted_at, accepted_by, answer, delivered_at, seen_at, version, changed_at)
    on alerts to halyard_face;
create policy face_sees on alerts for select to halyard_face
    using (authority = face_organisation() or hospital = face_organisation());
create policy face_accepts on alerts for update to halyard_face
    using (authority = face_organisation()) with check (authority = face_organisation());

-- What an acceptance makes the dispatcher tell: of one's own alerts
call fence('deliveries');
grant insert on deliveries to halyard_face;
grant usage on sequence delivery_order to halyard_face;
create policy face_adds on deliveries for insert to halyard_face
    with check (exists (select from alerts a where a.alert_id = deliveries.alert_id));

-- Letters: read and acknowledged
call fence('letters');
grant select on letters to halyard_face;
grant update (acknowledged_at) on letters to halyard_face;
create policy face_sees on letters for select to halyard_face
    using (organisation = face_organisation());
create policy face_acknowledges on letters for update to halyard_face
    using (organisation = face_organisation()) with check (organisation = face_organisation());

-- The outbox holds everybody's events. The face writes what it decided and reads nothing of it, but on
-- the connections that publish (`make_pool(…, publishes=True)`): those see what waits, and mark it
call fence('outbox');
grant insert (lane, topic, key, headers, value, event_id) on outbox to halyard_face;
grant select on outbox to halyard_face;
grant update (published_at, parked_at, parked_reason) on outbox to halyard_face;
create policy face_adds on outbox for insert to halyard_face with check (true);
create policy face_publishes on outbox for select to halyard_face
    using (current_setting('halyard.publishes', true) = 'on'
        and (published_at is null or published_at = now())); -- the latter: as it is being marked
create policy face_marks on outbox for update to halyard_face
    using (current_setting('halyard.publishes', true) = 'on') with check (true);

-- The audit chain: added to, always; of what stands there one's own
call fence('audit_entries');
-- not the transaction's number, by which entries are sealed: it is the transaction's own
grant insert (entry_id, chain, recorded_at, body, person, actor) on audit_entries to halyard_face;
grant select on audit_entries to halyard_face;
create policy face_adds on audit_entries for insert to halyard_face with check (true);
create policy face_sees on audit_entries for select to halyard_face
    using (chain = face_organisation());

-- What a look-up shows: of the persons asked about
call fence('flags');
grant select (authority, person, plan_type, start_date, end_date, local_id, phone_office,
    phone_emergency, birth_date, restricted) on flags to halyard_face; -- not the number
create policy face_sees on flags for select to halyard_face using (person = any (face_persons()));
call fence('identities');
grant select (person, restricted) on identities to halyard_face;
create policy face_sees on identities for select to halyard_face
    using (person = any (face_persons()));
call fence('visits');
grant select (visit_id, person, hospital, department, site_ods, live, state, arrived_at,
    arrived_offset, received_at, late, provisional, restricted, location_shielded, birth, also,
    also_restricted)
    on visits to halyard_face;
create policy face_sees on visits for select to halyard_face
    using (person = any (face_persons()) or also = any (face_persons()));
-- Whether PDS, an authority's record or a hospital's visit says that somebody is restricted: the one
-- answer for alerts, notices and look-ups. It reads everything in any case: how long it takes tells
-- nothing. A visit that was cancelled still says who the person is
create function is_restricted(whom text) returns boolean language sql stable
begin atomic
    select coalesce(bool_or(said.so), false)
    from (
        select i.restricted from identities i where i.person = whom
        union all
        select f.restricted from flags f where f.person = whom
        union all
        select v.restricted from visits v where v.person = whom
        union all
        select v.also_restricted from visits v where v.also = whom
    ) said (so);
end;
call fence('death_notes');
grant select (person, noted_at, withdrawn_at) on death_notes to halyard_face;
create policy face_sees on death_notes for select to halyard_face
    using (person = any (face_persons()));

-- How far a negative answer may be believed is the same for everybody: counts and times by authority,
-- no row of any. A view has its owner's rights, so it is not bound by the policies of what it reads
create view coverage as
select u.authority, max(u.received_at) as last_file_at,
    (select count(*) from worklist w
     where w.organisation = u.authority and w.event_kind = 'flag' and w.closed_at is null)
        as unmatched_records
from uploads u
where u.file_rule is null -- a file that could not be read says nothing
group by u.authority;
grant select on coverage to halyard_face;

-- Whether PDS answers at all, and whether the database is migrated: of nobody
call fence('pds_ration');
grant select (breaker_until) on pds_ration to halyard_face;
create policy face_sees on pds_ration for select to halyard_face using (true);
call fence('migration');
grant select on migration to halyard_face;
create policy face_sees on migration for select to halyard_face using (true);

-- What each version of a sharing policy said first: of nobody; each process adds what is new
call fence('policy_versions');
grant select, insert on policy_versions to halyard_face;
create policy face_sees on policy_versions for select to halyard_face using (true);
create policy face_adds on policy_versions for insert to halyard_face with check (true);
