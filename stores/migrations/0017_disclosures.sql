-- More kinds of deliveries: that somebody looked at a flag, and an alert shared by its authority. And
-- what a sharing policy leaves to a person: held, until it is released (open) or refused.
alter table deliveries drop constraint deliveries_kind_check;
alter table deliveries add constraint deliveries_kind_check
    check (kind in ('alert', 'match', 'receipt', 'access', 'share'));
alter table deliveries drop constraint deliveries_state_check;
alter table deliveries add constraint deliveries_state_check
    check (state in ('open', 'held', 'delivered', 'superseded', 'parked', 'refused'));
