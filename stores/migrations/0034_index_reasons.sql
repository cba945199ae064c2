-- Why somebody is known: whose visit or death was verified lately
create index claims_verified on claims (person, received_at) where state = 'verified';
