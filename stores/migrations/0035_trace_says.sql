-- Who had people traced, as they said or as their issuer states it; made_by is their account
alter table trace_batches add column made_by_name text;
-- Why the number that was sent is none (a rule of NHS numbers): the other details were searched for
alter table trace_items add column number_rule text;

grant insert (made_by_name) on trace_batches to halyard_face;
grant select (number_rule), insert (number_rule) on trace_items to halyard_face;
