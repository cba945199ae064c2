-- A yes that comes late belongs to the round that its delivery was written in, not to the one that
-- has opened meanwhile. What waits at this moment is of the round that stands.
alter table deliveries add column round integer not null default 1;
update deliveries d set round = a.round from alerts a where a.alert_id = d.alert_id and d.state = 'open';
alter table deliveries alter column round drop default;
