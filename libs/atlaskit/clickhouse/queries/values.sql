-- Values of one tenant. The views add the tenant's predicate and leave out what a delete hides.

-- name: entity
SELECT entity_key, asset_type, created_at, deleted
FROM tenant_entities(tenant = {tenant:UInt32})
WHERE entity_id = {entity:UInt64};

-- name: latest_values
-- The newest value by event time of each attribute (all of them for an empty list) at or before as_of.
SELECT
    attribute_key, toInt8(attribute_type) AS type, value_int64, value_uint64, value_double, value_bool, value_string, value_bytes,
    toUnixTimestamp64Micro(event_timestamp) AS event_microseconds, source_type
FROM visible_entity_values(tenant = {tenant:UInt32})
WHERE entity_id = {entity:UInt64}
    AND (empty({attributes:Array(String)}) OR has({attributes:Array(String)}, attribute_key))
    AND event_timestamp <= {as_of:DateTime64(6, 'UTC')}
ORDER BY attribute_key, event_timestamp DESC
LIMIT 1 BY attribute_key
LIMIT {most:UInt32};

-- name: history_oldest_first
SELECT
    attribute_key, toInt8(attribute_type) AS type, value_int64, value_uint64, value_double, value_bool, value_string, value_bytes,
    toUnixTimestamp64Micro(event_timestamp) AS event_microseconds, source_type
FROM visible_entity_values(tenant = {tenant:UInt32})
WHERE entity_id = {entity:UInt64} AND attribute_key = {attribute:String}
    AND event_timestamp >= {start:DateTime64(6, 'UTC')} AND event_timestamp < {end:DateTime64(6, 'UTC')}
ORDER BY event_timestamp
LIMIT {most:UInt32};

-- name: history_newest_first
SELECT
    attribute_key, toInt8(attribute_type) AS type, value_int64, value_uint64, value_double, value_bool, value_string, value_bytes,
    toUnixTimestamp64Micro(event_timestamp) AS event_microseconds, source_type
FROM visible_entity_values(tenant = {tenant:UInt32})
WHERE entity_id = {entity:UInt64} AND attribute_key = {attribute:String}
    AND event_timestamp >= {start:DateTime64(6, 'UTC')} AND event_timestamp < {end:DateTime64(6, 'UTC')}
ORDER BY event_timestamp DESC
LIMIT {most:UInt32};

-- name: aggregate
-- Over every observation in the range, of all entities or, for a list that is not empty, of these. Only numbers have a minimum,
-- maximum, mean and sum; the sum of integers is exact, and NULL as soon as one of the numbers is a DOUBLE.
SELECT
    count() AS observations,
    countIf(type IN (1, 2, 3)) AS numbers,
    minOrNullIf(number, type IN (1, 2, 3)) AS minimum,
    maxOrNullIf(number, type IN (1, 2, 3)) AS maximum,
    avgOrNullIf(number, type IN (1, 2, 3)) AS mean,
    sumOrNullIf(number, type IN (1, 2, 3)) AS sum,
    if(countIf(type = 3) = 0, toString(sumOrNullIf(if(type = 1, toInt128(value_int64), toInt128(value_uint64)), type IN (1, 2))), NULL) AS exact_sum
FROM (
    SELECT
        toInt8(attribute_type) AS type, value_int64, value_uint64,
        multiIf(type = 1, toFloat64(value_int64), type = 2, toFloat64(value_uint64), value_double) AS number
    FROM visible_entity_values(tenant = {tenant:UInt32})
    WHERE attribute_key = {attribute:String}
        AND (empty({entities:Array(UInt64)}) OR entity_id IN {entities:Array(UInt64)})
        AND event_timestamp >= {start:DateTime64(6, 'UTC')} AND event_timestamp < {end:DateTime64(6, 'UTC')}
);
