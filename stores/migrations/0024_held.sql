-- Whom a delivery tells and under which policy it was composed; whose people decide about one that is
-- held. A row from before has no recipient: nothing is asked again when it is sent.
alter table deliveries
    add column recipient text, -- organisation that is told
    add column reviewer text, -- organisation whose people decide, if it is held
    add column person text, -- pseudonym (store key), for the audit chain
    add column policy text,
    add column policy_version integer,
    add column restricted boolean not null default false, -- composed as of a restricted person
    add column released_at timestamptz; -- by a person
-- Several organisations may be told of one look at one destination
alter table deliveries drop constraint deliveries_destination_alert_id_version_kind_key;
create unique index deliveries_once on deliveries
    (destination, alert_id, version, kind, (case when kind = 'access' then recipient else '' end));
-- A broken glass is told to the asker's own guardian, and to nobody else, in the transaction that shows
-- what is behind it
create policy face_notices on deliveries for insert to halyard_face
    with check (kind = 'access' and recipient = face_organisation()
        and reviewer = face_organisation());
-- What waits for a person, and what a policy denied, is listed and counted every few seconds
create index deliveries_kept_back on deliveries (created_at) where state in ('held', 'refused');

-- Letters that a policy leaves to a person: released, they are written into the mailbox
create table held_letters (
    letter_id uuid primary key,
    organisation text not null, -- to whom
    kind text not null,
    body bytea not null, -- clinical: the message that would be sent
    created_at timestamptz not null,
    endpoint text,
    about uuid,
    message_id text,
    case_id uuid,
    needs_acknowledgement boolean not null,
    traceparent text not null,
    reviewer text not null, -- organisation whose people decide; 'hub': the hub's operator
    flow text not null,
    fields text[] not null, -- names of what would be told
    person text, -- pseudonym (store key)
    restricted boolean not null,
    policy text not null,
    policy_version integer not null,
    rule text not null,
    state text not null default 'held'
        check (state in ('held', 'released', 'refused', 'superseded')),
    done_at timestamptz
);
create index held_letters_open on held_letters (created_at) where state = 'held';
create index held_letters_case on held_letters (case_id) where state = 'held';

-- Alerts that their authority has shared with an agency: who must hear of a withdrawal
create table alert_shares (
    alert_id uuid not null,
    recipient text not null, -- agency
    version integer not null, -- of the alert's content
    letter_id uuid not null unique,
    authority text not null,
    shared_at timestamptz not null,
    shared_by text not null, -- who asked: subject of the caller
    shared_by_name text, -- their name, if the issuer states it
    state text not null check (state in ('shared', 'held', 'refused', 'superseded', 'withdrawn')),
    done_at timestamptz,
    -- names of what the letter tells, and of what it does not; the policy that said so
    fields text[] not null,
    withheld text[] not null,
    policy text not null,
    policy_version integer not null,
    primary key (alert_id, recipient, version)
);

-- Whether what was composed without a care is by now of somebody who is restricted. Of a look the
-- authority alone is asked about: the guardian of who looked hears of its own place
create function restricted_since(one deliveries) returns boolean language sql stable
begin atomic
    select not one.restricted
        and (exists (select from alerts a where a.alert_id = one.alert_id and a.restricted)
            or (one.kind <> 'access' or one.recipient is distinct from one.reviewer)
                and is_restricted(one.person));
end;

-- A newer snapshot, or a restriction, that makes a delivery out of date; also for the face, which does
-- not see the rows that tell it
create function delivery_overtaken(id uuid) returns boolean
language sql stable security definer set search_path = halyard, pg_temp as $$
    select d.kind in ('alert', 'match') and exists (
            select from deliveries later
            where later.alert_id = d.alert_id and later.kind = d.kind
                and later.position > d.position
        )
        or not d.restricted and exists (
            select from alerts a where a.alert_id = d.alert_id and a.restricted
        )
    from deliveries d where d.delivery_id = id
$$;

-- A release changes what a list shows of the alert: the alert comes again behind every cursor
create function alert_released() returns trigger
language plpgsql security definer set search_path = halyard, pg_temp as $$
begin
    update alerts set version = version + 1, changed_at = greatest(changed_at, now())
    where alert_id = new.alert_id;
    return null;
end
$$;
-- Also one that a policy stops after all, before it has left
create trigger alert_released after update of released_at, state on deliveries
    for each row when (new.kind = 'alert' and (new.released_at is distinct from old.released_at
        or new.released_at is not null
            and (new.state in ('held', 'refused')) is distinct from (old.state in ('held', 'refused'))))
    execute function alert_released();
revoke execute on function alert_released() from public; -- by the trigger alone
-- What a person has released to whom reads its list
create index deliveries_released on deliveries (alert_id) where released_at is not null;
create policy face_told on deliveries for select to halyard_face
    using (recipient = face_organisation() and kind = 'alert' and released_at is not null
        and state not in ('held', 'refused'));

-- The face: a reviewer sees what waits for its people and what they released, and decides. `now()`:
-- the row as it is being decided
create policy face_reviews on deliveries for select to halyard_face
    using (reviewer = face_organisation()
        and (state in ('held', 'refused') or released_at is not null or done_at = now()));
create policy face_decides on deliveries for update to halyard_face
    using (reviewer = face_organisation() and state in ('held', 'refused'))
    with check (reviewer = face_organisation());
grant select on deliveries to halyard_face;
grant update (state, body, policy, policy_version, released_at, due_at, done_at, lease_until, last_error)
    on deliveries to halyard_face;

call fence('held_letters');
grant select, insert on held_letters to halyard_face;
grant update (state, done_at, body) on held_letters to halyard_face;
create policy face_reviews on held_letters for select to halyard_face
    using (reviewer = face_organisation());
create policy face_holds on held_letters for insert to halyard_face
    with check (reviewer = face_organisation());
create policy face_decides on held_letters for update to halyard_face
    using (reviewer = face_organisation()) with check (reviewer = face_organisation());

call fence('alert_shares');
grant select, insert on alert_shares to halyard_face;
grant update (state, done_at) on alert_shares to halyard_face;
create policy face_sees on alert_shares for select to halyard_face
    using (authority = face_organisation());
create policy face_shares on alert_shares for insert to halyard_face
    with check (authority = face_organisation()
        and exists (select from alerts a where a.alert_id = alert_shares.alert_id
            and a.authority = face_organisation()));
create policy face_settles on alert_shares for update to halyard_face
    using (authority = face_organisation()) with check (authority = face_organisation());

-- Letters that the face writes: what its organisation shares, and what its people release
grant insert on letters to halyard_face;
grant usage on sequence letter_order to halyard_face;
create policy face_writes on letters for insert to halyard_face
    with check (exists (select from alert_shares s
            where s.letter_id = letters.letter_id and s.recipient = letters.organisation)
        or exists (select from held_letters h
            where h.letter_id = letters.letter_id and h.organisation = letters.organisation));
-- That a letter was sent once, by its id
call fence('letters_gone');
grant select (letter_id) on letters_gone to halyard_face;
create policy face_sees on letters_gone for select to halyard_face using (true);
