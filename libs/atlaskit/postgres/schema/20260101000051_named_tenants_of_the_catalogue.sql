-- migrate:up
-- As on the other tables: the setting may name several tenants, with commas.
ALTER POLICY one_tenant ON hot_attribute_slots USING (tenant_id = ANY ((
    SELECT string_to_array(nullif(current_setting('atlas.tenant_id', true), ''), ',')::integer[]
)::integer[]));

-- migrate:down
ALTER POLICY one_tenant ON hot_attribute_slots USING (tenant_id = nullif(current_setting('atlas.tenant_id', true), '')::integer);
