-- What the body of a held letter tells: a release never tells more than is permitted at its time.
alter table held_letters add column told text[];
update held_letters set told = fields;
alter table held_letters alter column told set not null;

-- When an organisation first read a letter: what nobody has read is taken back when the child that it
-- is about becomes restricted
alter table letters add column fetched_at timestamptz;
grant update (fetched_at) on letters to halyard_face;
