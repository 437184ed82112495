-- migrate:up
-- Numbers of all types in one order, without rounding: a double's shortest decimal text differs from its value once it has
-- more than 15 digits, which matters only where integers of 64 bits are: there the double is an integer itself.
CREATE FUNCTION exact_number(signed bigint, unsigned numeric, real64 double precision) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(signed::numeric, unsigned, CASE
    WHEN abs(real64) < 9007199254740992 THEN real64::text::numeric
    WHEN abs(real64) < 9223372036854775808 THEN real64::bigint::numeric
    WHEN real64 >= 9223372036854775808 AND real64 < 18446744073709551616 THEN (real64 - 9223372036854775808)::bigint::numeric + 9223372036854775808
    ELSE real64::text::numeric
END);
COMMENT ON FUNCTION exact_number IS 'The number that stands in one of the three numeric columns; NULL if none does.';

-- The setting names one tenant, or several for a reader that was granted them: their numbers with commas. It is read once
-- a statement, not once a row.
DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['entities', 'entity_hot_attributes', 'entity_attributes', 'attribute_keys', 'asset_types', 'attribute_key_types'] LOOP
        EXECUTE format($policy$
            ALTER POLICY one_tenant ON %I USING (tenant_id = ANY ((
                SELECT string_to_array(nullif(current_setting('atlas.tenant_id', true), ''), ',')::integer[]
            )::integer[]))
        $policy$, guarded);
        EXECUTE format('ALTER POLICY one_tenant ON %I RENAME TO named_tenants', guarded);
    END LOOP;
END
$$;

-- Keys by prefix, in the order of their bytes, which is that of ClickHouse. A dictionary is small next to its values, and writes of
-- known keys do not wait for it.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX attribute_keys_by_octets ON attribute_keys (tenant_id, attribute_key COLLATE "C");

-- migrate:down
DROP INDEX attribute_keys_by_octets;
DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['entities', 'entity_hot_attributes', 'entity_attributes', 'attribute_keys', 'asset_types', 'attribute_key_types'] LOOP
        EXECUTE format('ALTER POLICY named_tenants ON %I RENAME TO one_tenant', guarded);
        EXECUTE format($policy$
            ALTER POLICY one_tenant ON %I USING (tenant_id = nullif(current_setting('atlas.tenant_id', true), '')::integer)
        $policy$, guarded);
    END LOOP;
END
$$;
DROP FUNCTION exact_number;
