-- A person whom later, not yet verified word names beside the verified one; null if nobody
alter table visits add column also text;
alter table visits add column also_restricted boolean not null default false;
-- An arrival reached us within 24 h of being recorded, whatever time of arrival it states
alter table visits add column fresh boolean not null default false;
create index visits_also on visits (also, received_at) where also is not null;
