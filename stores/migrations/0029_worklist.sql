-- Entries of a worklist that people work: what was sent, what PDS's answer had to do with it, who has
-- it in hand, when PDS is asked again, how it ended (docs/reference/worklist.md)
alter table worklist
    add column key text, -- of a flag: the source patient's (pseudonym), and which plan
    add column plan_type text,
    add column claim jsonb, -- clinical: of whom, as the organisation sent it; emptied when the entry ends
    add column candidates jsonb not null default '[]', -- field by field agrees or differs; nothing of a person
    add column shown_rule text, -- what stands for the rule where that would say something of a record
    add column claimed_by text, -- who has it in hand, until claimed_until
    add column claimed_name text,
    add column claimed_until timestamptz,
    add column question text, -- code of what its sender is asked
    add column asked_at timestamptz,
    add column next_try_at timestamptz, -- PDS is asked again by schedule
    add column tries integer not null default 0,
    add column ended_by text, -- the person who ended it
    add column ended_name text,
    add column ended_reason text; -- in their words
create index worklist_next on worklist (next_try_at) where closed_at is null and next_try_at is not null;
create index worklist_aged on worklist (opened_at) where closed_at is null;
-- Flags that match nobody, also when nobody works on them any more, until the plan is sent again:
-- counted in each look-up (view `coverage`, with the same words), and found by a plan that is held
create index worklist_unmatched on worklist (organisation)
    where event_kind = 'flag' and (closed_at is null or closed_rule in ('expired', 'rejected-by-person.nobody'));
create index worklist_plan on worklist (key, plan_type)
    where key is not null and event_kind = 'flag'
        and (closed_at is null or closed_rule in ('expired', 'rejected-by-person.nobody'));

-- What is to be done with an entry: said by a person through `halyard serve` (or by the schedule), done
-- by the tracer
create table resolutions (
    resolution_id uuid primary key,
    entry_id uuid not null references worklist on delete cascade,
    organisation text not null, -- whose entry it is
    action text not null check (action in ('resolve', 'reject', 'ask', 'retry', 'undo')),
    number text, -- clinical: the NHS number that the person names; emptied when it has ended
    person text, -- pseudonym of it (store key)
    code text, -- of a rejection: why; of a question: which
    despite text[] not null default '{}', -- fields that the person says were sent wrong
    scheduled boolean not null default false,
    made_by text not null,
    made_by_name text,
    role text,
    reason text not null,
    made_at timestamptz not null,
    state text not null default 'waiting' check (state in ('waiting', 'asked', 'done', 'refused')),
    outcome text, -- the rule that ended it
    evidence jsonb, -- field by field agrees or differs; of restricted people nothing
    trace_id uuid,
    ended_at timestamptz
);
create index resolutions_of on resolutions (entry_id, made_at);
create index resolutions_waiting on resolutions (made_at) where state = 'waiting';
create index resolutions_scheduled on resolutions (made_at) where scheduled and state in ('waiting', 'asked');
create index resolutions_by on resolutions (made_by, made_at) where action = 'resolve';
-- Two people at once: the first decision stands; the schedule is in nobody's way
create unique index resolutions_one on resolutions (entry_id)
    where state in ('waiting', 'asked') and action <> 'ask' and not scheduled;
call fence('resolutions');

grant select on resolutions to halyard_face;
grant insert (resolution_id, entry_id, organisation, action, number, person, code, despite, made_by,
    made_by_name, role, reason, made_at) on resolutions to halyard_face;
create policy face_sees on resolutions for select to halyard_face
    using (organisation = face_organisation());
create policy face_orders on resolutions for insert to halyard_face
    with check (organisation = face_organisation() and exists (select from worklist w
        where w.entry_id = resolutions.entry_id and w.organisation = resolutions.organisation));
grant update (claimed_by, claimed_name, claimed_until, question, asked_at) on worklist to halyard_face;
create policy face_claims on worklist for update to halyard_face
    using (organisation = face_organisation()) with check (organisation = face_organisation());

-- When a resolution was taken back: the entry ends so long after that
grant select (decided_at) on claims to halyard_face;

-- A record that nobody resolved in time, or of which nobody is to be found, is no match either: a
-- negative answer goes on saying so
create or replace view coverage as
select u.authority, max(u.received_at) as last_file_at,
    (select count(*) from worklist w
     where w.organisation = u.authority and w.event_kind = 'flag'
        and (w.closed_at is null or w.closed_rule in ('expired', 'rejected-by-person.nobody'))) as unmatched_records
from uploads u
where u.file_rule is null -- a file that could not be read says nothing
group by u.authority;
