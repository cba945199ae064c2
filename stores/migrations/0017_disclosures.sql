-- More kinds of deliveries: that somebody looked at a flag, and an alert shared by its authority. And
-- what a sharing policy leaves to a person: held, until it is released (open) or refused.
alter table deliveries drop constraint deliveries_kind_check;
alter table deliveries add constraint deliveries_kind_check
    check (kind in ('alert', 'match', 'receipt', 'access', 'share'));
alter table deliveries drop constraint deliveries_state_check;
alter table deliveries add constraint deliveries_state_check
    check (state in ('open', 'held', 'delivered', 'superseded', 'parked', 'refused'));

-- Of a version of which a policy withheld part, `content` is what was kept; so that the same version is
-- known when it comes again, and may be told wider then
alter table ncmd.history add column digest bytea; -- SHA-256 of the event as it came; null: content is it
-- The one change to a version that is there: the store's role may not update the history itself
create function ncmd.widen(id uuid, number integer, came bytea, wider bytea) returns void
language sql security definer set search_path = ncmd, pg_temp as $$
    update ncmd.history set content = wider, digest = nullif(came, sha256(wider))
    where case_id = id and version = number and digest = came and length(wider) > length(content)
$$;

-- What each version of a sharing policy said when it was first used: rulings name policy and version, so
-- two contents must never stand under one number. Of nobody, and never changed
create table policy_versions (
    policy text not null,
    version integer not null,
    digest bytea not null, -- SHA-256 of its content (policies/versions.py)
    first_seen timestamptz not null,
    primary key (policy, version)
);
