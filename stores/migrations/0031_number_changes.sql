-- NHS numbers change: who was merged into whom, and whose number is no longer to be used. Neither
-- table ever holds an invalidated number beside another: there is no column for one.

-- A number that PDS superseded, and the one that stands for it now. `successor` is never itself a
-- `person` here: chains are shortened as they grow
create table number_successors (
    person text primary key, -- pseudonym (store key) of the old number
    successor text not null, -- pseudonym of the number that stands
    since timestamptz not null,
    check (person <> successor)
);
create index number_successors_of on number_successors (successor);
call fence('number_successors');
-- Who looks somebody up under the old number is shown what is held under the new one
grant select (person, successor) on number_successors to halyard_face;
create policy face_sees on number_successors for select to halyard_face
    using (person = any (face_persons()));

-- A number that PDS invalidated: pseudonym and time, and nothing else. Matching changes no alert of
-- it, and a look-up does not answer that nothing is held
create table inactive_numbers (
    person text primary key, -- pseudonym (store key)
    since timestamptz not null
);
call fence('inactive_numbers');
grant select (person) on inactive_numbers to halyard_face;
create policy face_sees on inactive_numbers for select to halyard_face
    using (person = any (face_persons()));

-- When PDS was last asked again about a person without an event: every flagged one, in turn
alter table identities add column asked_at timestamptz;
create index identities_reverify on identities (greatest(verified_at, coalesce(asked_at, verified_at)))
    where flagged;

-- Whom claims name: those of the last 48 hours, and flags and messages about deaths of any age
create index claims_named on claims (person)
    where person is not null and (event is not null or event_kind <> 'attendance');

-- What has not left, by whom it is about: a changed number takes it along
create index deliveries_person on deliveries (person)
    where person is not null and state in ('open', 'held', 'parked', 'refused');
create index held_letters_person on held_letters (person) where person is not null and state = 'held';

-- What was taken back of a person, in visits that may be another's by now
create index visit_events_taken_back on visit_events (person) where retracted;

-- Alerts of an invalidated number: they were told, and nothing leads from them to a visit any more
create index alerts_without_visit on alerts (arrival_received_at)
    where visit_ids = '{}' and state = 'raised';

-- Digest of what an entry is about: what a person ended is not opened again for the same
alter table worklist add column cause text;
