-- What receivers refused is counted every few seconds, among all that was ever delivered
create index deliveries_parked on deliveries (destination) where state = 'parked';
