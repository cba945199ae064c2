-- The bus key can be changed by drain: no decision looks for anything under it any more.
--
-- Rows of identity were found by the bus key (source person); from now on by the store key (source
-- patient), which never changes. What is known of both is carried over: of merged patients, of deaths,
-- of visits. A key that none of these names belongs to nobody who was ever verified; its rows end with
-- their retention.
create temporary table patient_of on commit drop as
with told as (
    select retired_key as key, retired_patient as patient, 1 as place from merges
    union all
    select surviving_key, surviving_patient, 1 from merges
    union all
    select c.key, m.source_patient, 2 from claims c join case_messages m using (reported_event_id)
    union all
    select c.key, v.source_patient, 3 from claims c join visit_events v using (reported_event_id)
)
select distinct on (key) key, patient from told order by key, place, patient;
create unique index on patient_of (key);

update claims set key = patient from patient_of where patient_of.key = claims.key;
update parked_keys set key = patient from patient_of where patient_of.key = parked_keys.key;
update merges set retired_key = retired_patient, surviving_key = surviving_patient;

comment on column claims.key is 'source patient: pseudonym under the store key';
comment on column merges.retired_key is 'as retired_patient';

-- Which bus key the system uses: a process with another one does not start, or ends. Named by its id
-- (a digest), the key itself is in no database
create table bus_key (
    singleton boolean primary key default true check (singleton),
    key_id text not null,
    since timestamptz not null
);
call fence('bus_key');
grant select on bus_key to halyard_face;
create policy face_sees on bus_key for select to halyard_face using (true);

-- When what is due was last ended (`halyard retention apply`)
create table retention_runs (
    singleton boolean primary key default true check (singleton),
    applied_at timestamptz not null
);
call fence('retention_runs');
