-- What the trailer says of the file as a whole
alter table uploads
    add column refused integer not null default 0, -- records refused at once, without a row of answers
    add column file_format text,
    add column file_digest text, -- keyed, of the file's bytes
    add column file_rule text, -- by which all of it was refused
    add column reused boolean not null default false; -- another file came under the same sequence
create index uploads_digest on uploads (authority, file_digest, received_at) where file_digest is not null;
create index uploads_sequence on uploads (authority, sequence);
