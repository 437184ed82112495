-- migrate:up
-- A reader sees the tenant named by the transaction-local setting, on the parents only; without a setting it sees nothing.
DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['entities', 'entity_hot_attributes', 'entity_attributes', 'attribute_keys', 'asset_types'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format($policy$
            CREATE POLICY one_tenant ON %I FOR SELECT TO atlas_reader
                USING (tenant_id = nullif(current_setting('atlas.tenant_id', true), '')::integer)
        $policy$, guarded);
    END LOOP;
END
$$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO atlas_ingest, atlas_reader, atlas_monitor, atlas_sink, atlas_keeper, atlas_debezium;
GRANT SELECT ON entities, entity_hot_attributes, entity_attributes, attribute_keys, asset_types, source_types, tenants, epochs,
    hot_attribute_slots TO atlas_reader, atlas_sink;
GRANT SELECT ON ingest_batches, ingest_writers TO atlas_sink;
GRANT SELECT, INSERT ON tenants, attribute_keys, asset_types, source_types, entity_attributes, ingest_requests TO atlas_ingest;
GRANT INSERT ON ingest_batches TO atlas_ingest;
GRANT SELECT, INSERT, UPDATE ON entities, entity_hot_attributes, ingest_writers TO atlas_ingest;
GRANT UPDATE (key_quota) ON tenants TO atlas_ingest;
GRANT SELECT ON epochs, hot_attribute_slots TO atlas_ingest;
GRANT USAGE ON SEQUENCE ingest_transaction, ingest_writer TO atlas_ingest;
GRANT SELECT, INSERT ON epochs TO atlas_monitor;
GRANT SELECT ON ingest_writers TO atlas_monitor;
GRANT SELECT, INSERT, UPDATE ON primary_beat, entities_beat, entity_hot_attributes_beat, entity_attributes_beat, attribute_keys_beat,
    asset_types_beat, ingest_batches_beat TO atlas_monitor;
GRANT SELECT, DELETE ON ingest_requests TO atlas_keeper;
GRANT SELECT ON entities, entity_hot_attributes, entity_attributes, attribute_keys, asset_types, ingest_batches, entities_beat,
    entity_hot_attributes_beat, entity_attributes_beat, attribute_keys_beat, asset_types_beat, ingest_batches_beat TO atlas_debezium;

-- migrate:down
DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['entities', 'entity_hot_attributes', 'entity_attributes', 'attribute_keys', 'asset_types'] LOOP
        EXECUTE format('DROP POLICY one_tenant ON %I', guarded);
        EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY', guarded);
    END LOOP;
END
$$;
