-- A place that the hospital hides for a patient (A28, A31), not for one visit alone: pseudonyms (store
-- key), kept for good, as nothing that hospitals send takes it back
create table hidden_patients (
    source_patient text primary key,
    hidden_at timestamptz not null
);

-- How long a visit was heard of: a birth joins the mother's stay, not one that nobody ever ended
alter table visits add column heard_until timestamptz;
update visits set heard_until = changed_at;
