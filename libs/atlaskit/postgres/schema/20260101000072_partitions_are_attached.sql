-- migrate:up
-- As before, with one difference: a partition is made beside its parent and then attached, which locks the parent against
-- no read and no write. CREATE TABLE ... PARTITION OF waits for every read of the parent, and all that comes later waits behind it.
CREATE OR REPLACE FUNCTION ensure_partitions(months_ahead integer, days_ahead integer, dry_run boolean DEFAULT false) RETURNS SETOF text
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
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', leaf, parent);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, leaf, lower_bound,
            (lower_bound AT TIME ZONE 'UTC' + step) AT TIME ZONE 'UTC');
        PERFORM guard_against_truncate(leaf::regclass);
    END LOOP;
END
$$;

-- migrate:down
CREATE OR REPLACE FUNCTION ensure_partitions(months_ahead integer, days_ahead integer, dry_run boolean DEFAULT false) RETURNS SETOF text
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
