-- What agencies call a person in their own systems, and which of an authority's children it states to
-- be siblings. Of people in the index alone, and forgotten with them. Nothing here is evidence of who
-- somebody is: no query of the identity ladder reads these tables (docs/adr/0048).

create table person_identifiers (
    person text not null references identities on delete cascade,
    scheme text not null, -- code: hospital-number, la-child-id, unique-pupil-number, local-record
    value text not null, -- clinical
    assigner text not null, -- ODS or GSS code, else as the sender named it; empty: not said
    organisation text not null, -- who states it: ODS or GSS code
    stated_at timestamptz not null, -- receive time of the first event that states it
    events uuid[] not null, -- reported events that state it, verified of the person: the first five
    primary key (person, organisation, scheme, value, assigner)
);
create index person_identifiers_value on person_identifiers (organisation, scheme, value);
call fence('person_identifiers');
-- Of whom is asked about, and one's own: for the report of numbers that several records share
grant select (person, scheme, value, assigner, organisation, stated_at) on person_identifiers to halyard_face;
create policy face_sees on person_identifiers for select to halyard_face
    using (organisation = face_organisation() or person = any (face_persons()));

-- The last record of an authority that states a child's siblings, also that there are none
create table sibling_lists (
    authority text not null,
    person text not null references identities on delete cascade,
    reported_event_id uuid not null,
    sequence bigint not null, -- with the line: which of two statements is the later one
    line integer not null,
    stated_at timestamptz not null,
    primary key (authority, person)
);
create index sibling_lists_person on sibling_lists (person);
call fence('sibling_lists'); -- nothing of the face's

create table sibling_links (
    authority text not null,
    person text not null,
    local_id text not null, -- clinical: the authority's own id of the sibling, as stated
    -- whom the id names, once verified by a record of the same authority. With who leaves the index,
    -- or whose number is invalidated, the statement goes: it never passes on to a new number
    sibling text references identities on delete cascade,
    primary key (authority, person, local_id),
    foreign key (authority, person) references sibling_lists on delete cascade
);
create index sibling_links_sibling on sibling_links (sibling) where sibling is not null;
create index sibling_links_open on sibling_links (authority, local_id) where sibling is null;
call fence('sibling_links');
grant select on sibling_links to halyard_face;
create policy face_sees on sibling_links for select to halyard_face
    using (authority = face_organisation());

-- The core demographic record: neither the number nor the postcode
grant select (names, birth_date, gender, deceased, verified_at) on identities to halyard_face;

-- An organisation's own records that were verified of a number, or claim it (ISB 0149, requirement 12).
-- What the organisation merged is one patient. Numbers stand here as pseudonyms
create view number_records as
select said.organisation, said.person, said.local_id, said.standing, said.rule, said.since,
    coalesce(m.surviving_key, said.key, said.local_id) as patient
from (
    select i.organisation, i.person, i.value as local_id, 'verified' as standing, null::text as rule,
        i.stated_at as since,
        (select c.key from claims c where c.reported_event_id = i.events[1]) as key
    from person_identifiers i
    where i.assigner = i.organisation and i.scheme in ('hospital-number', 'la-child-id')
    union all
    select w.organisation, c.number_token, w.local_id, 'unverified', coalesce(w.shown_rule, w.rule),
        w.opened_at, c.key
    from worklist w join claims c using (reported_event_id)
    where w.closed_at is null and c.number_token is not null and w.local_id is not null
) said
left join merges m on m.retired_key = said.key;
-- A barrier: what the caller asks of a row is not evaluated before it is known to be the caller's
create view own_number_records with (security_barrier) as
select * from number_records where organisation = face_organisation();
grant select on own_number_records to halyard_face;

-- Whose open case an organisation has a part in: it notified, or reported. A view has its owner's
-- rights: it tells of the caller's own part, in cases of whom is asked about, and of nothing else
create view own_open_cases with (security_barrier) as
select distinct c.person
from cases c
join (
    select n.case_id, n.current_event_id from case_notifications n where not n.voided
    union all
    select r.case_id, r.current_event_id from case_reports r where r.case_id is not null
) part using (case_id)
join case_messages m on m.reported_event_id = part.current_event_id
where c.state = 'OPEN' and c.person = any (face_persons()) and m.organisation = face_organisation();
grant select on own_open_cases to halyard_face;
