-- Partitioned by time, so that what has expired goes by dropping a table. Rows that are there stay where they are: their
-- table becomes a partition.
ALTER TABLE {counts} RENAME TO {counts_before};
ALTER INDEX {schema}.{counts_key} RENAME TO {counts_before_key};
ALTER INDEX {schema}.{counts_index} RENAME TO {counts_before_index};
CREATE TABLE {counts} (
  LIKE {schema}.{counts_before} INCLUDING CONSTRAINTS INCLUDING COMMENTS,
  PRIMARY KEY (window_start, {key})
) PARTITION BY RANGE (window_start);
CREATE INDEX {counts_index} ON {counts} (window_start, {events} DESC, {key});
COMMENT ON TABLE {counts} IS '{some_events} of each {a_key} by {kind}, as of topk_progress.epoch; partitioned by window_start.';
DO $migration$
DECLARE
  first_start timestamptz;
  next_start timestamptz;
BEGIN
  SELECT min(window_start), max(window_start) + interval '1 minute' INTO first_start, next_start
    FROM {schema}.{counts_before};
  IF first_start IS NULL THEN
    DROP TABLE {schema}.{counts_before};
  ELSE
    EXECUTE format(
      $attach$ALTER TABLE {counts} ATTACH PARTITION {schema}.{counts_before} FOR VALUES FROM (%L) TO (%L)$attach$,
      first_start, next_start);
    COMMENT ON TABLE {schema}.{counts_before} IS 'Rows of {kind} from before its table was partitioned.';
  END IF;
END
$migration$;
