-- After a 429 the ration is spent more slowly: when that was last decided, and until when nobody asks at all
alter table pds_ration add column slowed_at timestamptz;
alter table pds_ration add column paused_until timestamptz;
