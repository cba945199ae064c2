-- Twins may come under one visit number, and two sites may count alike: a visit is one number and one
-- patient of the hospital (docs/adr/0051). What was folded before names one person for each number; the
-- next event of a visit folds it anew.
alter table visits drop constraint visits_pkey;
alter table visits add primary key (visit_id, source_patient);
