-- What retention looks for each minute, however many claims there are
create index claims_undone on claims (person)
    where event is not null and (state = 'unresolved' or rule like 'resolved-by-person%');
create index claims_resolved on claims (key, decided_at) where rule like 'resolved-by-person%';
create index claims_forgotten on claims (received_at) where state in ('not_traced', 'not_used');
