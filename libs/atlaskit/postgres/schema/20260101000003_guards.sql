-- migrate:up
-- What may happen to a captured row: the ledger accounts for inserts and for updates that raise the row version, and for
-- nothing else, so nothing else is possible.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is not allowed: the ledger could not account for it; write a new version instead', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE FUNCTION demand_greater_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.row_version <= OLD.row_version THEN
        RAISE EXCEPTION 'an update of % must raise row_version, % is not above %', TG_TABLE_NAME, NEW.row_version, OLD.row_version
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

-- Triggers for TRUNCATE do not come down from a partitioned table, so each table and each leaf gets its own.
CREATE FUNCTION guard_against_truncate(guarded regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', guarded);
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON attribute_keys FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON asset_types FOR EACH ROW EXECUTE FUNCTION refuse_change();
SELECT guard_against_truncate('attribute_keys');
SELECT guard_against_truncate('asset_types');

-- migrate:down
DROP TRIGGER no_truncate ON attribute_keys;
DROP TRIGGER no_truncate ON asset_types;
DROP TRIGGER append_only ON attribute_keys;
DROP TRIGGER append_only ON asset_types;
DROP FUNCTION guard_against_truncate, demand_greater_version, refuse_change;
