-- Entities of one tenant page by page, and figures by group.

-- name: entities_page
SELECT entity_id, entity_key, asset_type, toUnixTimestamp64Micro(created_at) AS created_microseconds
FROM tenant_entities(tenant = {tenant:UInt32})
WHERE entity_id > {after:Int64} AND NOT deleted
ORDER BY entity_id
LIMIT {most:UInt32};

-- name: values_of_entities
-- The newest value by event time of each of these attributes of each of these entities at or before as_of; the first columns
-- are those of the other value queries.
SELECT
    attribute_key, toInt8(attribute_type) AS type, value_int64, value_uint64, value_double, value_bool, value_string, value_bytes,
    toUnixTimestamp64Micro(event_timestamp) AS event_microseconds, source_type, entity_id
FROM visible_entity_values(tenant = {tenant:UInt32})
WHERE entity_id IN {entities:Array(UInt64)} AND attribute_key IN {attributes:Array(String)}
    AND event_timestamp <= {as_of:DateTime64(6, 'UTC')}
ORDER BY entity_id, attribute_key, event_timestamp DESC
LIMIT 1 BY entity_id, attribute_key;

-- name: figures
-- By entity if by_entity, by buckets of `width` microseconds since 1970 if not 0; -1 stands for "not grouped by". Groups above
-- (after_entity, after_bucket).
SELECT
    if({by_entity:Bool}, toInt64(entity_id), -1) AS entity,
    if({width:UInt64} = 0, -1, intDiv(toUnixTimestamp64Micro(event_timestamp), greatest({width:UInt64}, 1)) * toInt64({width:UInt64})) AS bucket,
    count() AS observations,
    countIf(attribute_type IN ('INT64', 'UINT64')) AS integers,
    countIf(attribute_type = 'DOUBLE') AS doubles,
    minOrNullIf(value_int64, attribute_type = 'INT64') AS min_int64,
    maxOrNullIf(value_int64, attribute_type = 'INT64') AS max_int64,
    minOrNullIf(value_uint64, attribute_type = 'UINT64') AS min_uint64,
    maxOrNullIf(value_uint64, attribute_type = 'UINT64') AS max_uint64,
    minOrNullIf(value_double, attribute_type = 'DOUBLE') AS min_double,
    maxOrNullIf(value_double, attribute_type = 'DOUBLE') AS max_double,
    toString(sumIf(toInt128(value_int64), attribute_type = 'INT64') + sumIf(toInt128(value_uint64), attribute_type = 'UINT64')) AS integer_sum,
    sumIf(value_double, attribute_type = 'DOUBLE') AS double_sum
FROM visible_entity_values(tenant = {tenant:UInt32})
WHERE attribute_key = {attribute:String}
    AND event_timestamp >= {start:DateTime64(6, 'UTC')} AND event_timestamp < {end:DateTime64(6, 'UTC')}
GROUP BY entity, bucket
HAVING (entity, bucket) > ({after_entity:Int64}, {after_bucket:Int64})
ORDER BY entity, bucket
LIMIT {most:UInt32};
