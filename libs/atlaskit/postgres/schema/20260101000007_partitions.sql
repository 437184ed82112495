-- migrate:up
-- Creates what is missing of the partitions for the months from the present one to `months_ahead` later, and of the ledger's
-- days likewise, and returns their names. With `dry_run` it creates nothing. There is no DEFAULT partition: a row
-- without a place is an error, not a surprise later.
CREATE FUNCTION ensure_partitions(months_ahead integer, days_ahead integer, dry_run boolean DEFAULT false) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
    leaf text;
    lower_bound timestamptz;
    step interval;
BEGIN
    IF months_ahead NOT BETWEEN 0 AND 120 OR days_ahead NOT BETWEEN 0 AND 400 THEN
        RAISE EXCEPTION 'months_ahead must be 0 to 120 and days_ahead 0 to 400';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('atlas.ensure_partitions', 0));
    FOR parent, lower_bound, step IN
        SELECT format('entity_attributes_h%s', remainder), date_trunc('month', now(), 'UTC') + make_interval(months => month), interval '1 month'
        FROM generate_series(0, 9) AS remainder, generate_series(0, months_ahead) AS month
        UNION ALL
        SELECT 'ingest_batches', date_trunc('day', now(), 'UTC') + make_interval(days => day), interval '1 day'
        FROM generate_series(0, days_ahead) AS day
    LOOP
        leaf := parent || to_char(lower_bound AT TIME ZONE 'UTC', CASE parent WHEN 'ingest_batches' THEN '"_"YYYYMMDD' ELSE '"_"YYYYMM' END);
        CONTINUE WHEN to_regclass(leaf) IS NOT NULL;
        RETURN NEXT leaf;
        CONTINUE WHEN dry_run;
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', leaf, parent, lower_bound,
            (lower_bound AT TIME ZONE 'UTC' + step) AT TIME ZONE 'UTC');
        PERFORM guard_against_truncate(leaf::regclass);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION ensure_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partitions TO atlas_keeper;
SELECT count(*) FROM ensure_partitions(1, 7);

-- migrate:down
DROP FUNCTION ensure_partitions;
