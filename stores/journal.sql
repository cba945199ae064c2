-- name: record
insert into journal (topic, partition, kafka_offset, event_id, event_type, source, trace_id, caused_by,
                     event_time, recorded_at, value_bytes, value_digest)
select * from unnest(%(topics)s::text[], %(partitions)s::integer[], %(offsets)s::bigint[],
                     %(event_ids)s::uuid[], %(event_types)s::text[], %(sources)s::text[],
                     %(trace_ids)s::text[], %(caused_by)s::uuid[], %(event_times)s::timestamptz[],
                     %(recorded_at)s::timestamptz[], %(value_bytes)s::integer[],
                     %(value_digests)s::text[])
on conflict (topic, partition, kafka_offset) do update set
    event_id = excluded.event_id, event_type = excluded.event_type, source = excluded.source,
    trace_id = excluded.trace_id, caused_by = excluded.caused_by, event_time = excluded.event_time,
    recorded_at = excluded.recorded_at, value_bytes = excluded.value_bytes,
    value_digest = excluded.value_digest

-- name: offsets
select topic, partition, next_offset from journal_offsets

-- name: save_offsets
insert into journal_offsets (topic, partition, next_offset)
select * from unnest(%(topics)s::text[], %(partitions)s::integer[], %(offsets)s::bigint[])
on conflict (topic, partition) do update set next_offset = excluded.next_offset
