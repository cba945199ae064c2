-- Lists of alerts go on from a cursor. Times of change come from the clocks of several processes, and
-- sequence numbers are drawn before they are committed: after both a reader may skip an alert that
-- was committed late. The writing transaction's own number orders the changes instead: whatever is
-- below the oldest running transaction is complete.
-- After a restore of a logical dump into another cluster, number the rows anew:
--   update halyard.alerts set version = version;
alter table alerts add column changed_xid xid8 not null default pg_current_xact_id();

create function alert_changed() returns trigger language plpgsql as $$
begin
    new.changed_xid := pg_current_xact_id();
    return new;
end
$$;
create trigger alert_changed before insert or update on alerts
    for each row execute function alert_changed();

-- A hint for live lists, without content
create function alerts_changed() returns trigger language plpgsql as $$
begin
    perform pg_notify('halyard_alerts', '');
    return null;
end
$$;
create trigger alerts_changed after insert or update on alerts
    for each statement execute function alerts_changed();

drop index alerts_authority;
drop index alerts_hospital;
create index alerts_authority on alerts (authority, changed_xid, alert_id);
create index alerts_hospital on alerts (hospital, changed_xid, alert_id);
