//! The SQL of the Postgres tables, with names to fill in. Rows travel as arrays, thousands in one statement.

/// Not `to_regclass`: that looks into the session's cache of names, which does not hear what somebody else committed while
/// this transaction waited for a lock of ours.
pub(super) const TABLE_EXISTS: &str =
    "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'topk_job')";
pub(super) const OWNER: &str = "SELECT job, table_prefix, key_column, generation FROM {job}";
/// Until the transaction ends nobody else may claim or write.
pub(super) const OWNER_LOCKED: &str = "SELECT job, table_prefix, key_column, generation FROM {job} FOR UPDATE";
pub(super) const SCHEMA_VERSION: &str = "SELECT schema_version FROM {job}";
pub(super) const PROGRESS: &str =
    "SELECT generation, epoch, top_k_epoch, commit_hash, as_of FROM {progress} WHERE shard = 0";

pub(super) const UPSERT_OWNER: &str = "INSERT INTO {job} AS stored VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb)
    ON CONFLICT (job) DO UPDATE SET schema_version = EXCLUDED.schema_version, generation = EXCLUDED.generation,
    updated_at = EXCLUDED.updated_at, journal = coalesce(EXCLUDED.journal, stored.journal)";

/// Absolute values, never `+`: a repeated flush changes nothing.
pub(super) const UPSERT: &str = "INSERT INTO {counts} AS stored (window_start, {key}, {events})
    SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::bigint[])
    ON CONFLICT (window_start, {key}) DO UPDATE SET {events} = EXCLUDED.{events}
    WHERE stored.{events} <> EXCLUDED.{events}";
pub(super) const UPSERT_ALL_TIME: &str = "INSERT INTO {counts} AS stored ({key}, {events})
    SELECT * FROM unnest($1::text[], $2::bigint[])
    ON CONFLICT ({key}) DO UPDATE SET {events} = EXCLUDED.{events} WHERE stored.{events} <> EXCLUDED.{events}";

/// `epoch` says when a row last changed: what a restart says again leaves it alone.
pub(super) const UPSERT_STATUS: &str = "INSERT INTO {status} AS stored
    SELECT *, $8::bigint FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::bigint[],
    $6::bigint[], $7::bigint[])
    ON CONFLICT (\"window\", window_start) DO UPDATE SET window_end = EXCLUDED.window_end, state = EXCLUDED.state,
    {events} = EXCLUDED.{events}, {keys} = EXCLUDED.{keys}, late = EXCLUDED.late, epoch = EXCLUDED.epoch
    WHERE stored.window_end <> EXCLUDED.window_end OR stored.state <> EXCLUDED.state
    OR stored.{events} <> EXCLUDED.{events} OR stored.{keys} <> EXCLUDED.{keys} OR stored.late <> EXCLUDED.late";

pub(super) const DELETE_TOP_K: &str = "DELETE FROM {top_k} AS stored
    USING unnest($1::text[], $2::timestamptz[]) AS replaced (period, start_time)
    WHERE stored.period = replaced.period AND stored.region = '' AND stored.start_time = replaced.start_time";
pub(super) const INSERT_TOP_K: &str =
    "INSERT INTO {top_k} (period, region, start_time, end_time, rank, {key}, {event_count})
    SELECT period, '', start_time, end_time, rank, key, count
    FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::integer[], $5::text[], $6::bigint[])
    AS ranked (period, start_time, end_time, rank, key, count)";

pub(super) const UPSERT_LEDGER: &str = "INSERT INTO {ledger} AS stored
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    ON CONFLICT (partition) DO UPDATE SET consumed = EXCLUDED.consumed, counted = EXCLUDED.counted,
    dead_lettered = EXCLUDED.dead_lettered, lost = EXCLUDED.lost WHERE stored.consumed <> EXCLUDED.consumed
    OR stored.counted <> EXCLUDED.counted OR stored.dead_lettered <> EXCLUDED.dead_lettered
    OR stored.lost <> EXCLUDED.lost";

pub(super) const UPSERT_PROGRESS: &str = "INSERT INTO {progress} AS stored VALUES (0, $1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (shard) DO UPDATE SET generation = EXCLUDED.generation, epoch = EXCLUDED.epoch,
    top_k_epoch = coalesce(EXCLUDED.top_k_epoch, stored.top_k_epoch), commit_hash = EXCLUDED.commit_hash,
    offsets = EXCLUDED.offsets, partitions = EXCLUDED.partitions, as_of = EXCLUDED.as_of,
    updated_at = EXCLUDED.updated_at";

/// Rows on their way to a count table, on this connection alone. Emptied at the end of each transaction.
pub(super) const CREATE_ARRIVED: &str = "CREATE TEMPORARY TABLE topk_arrived
    (window_start timestamptz, key text COLLATE \"C\", count bigint) ON COMMIT DELETE ROWS";
pub(super) const COPY_ARRIVED: &str = "COPY pg_temp.topk_arrived (window_start, key, count) FROM STDIN (FORMAT binary)";
pub(super) const COPY_ARRIVED_ALL_TIME: &str = "COPY pg_temp.topk_arrived (key, count) FROM STDIN (FORMAT binary)";
pub(super) const EMPTY_ARRIVED: &str = "TRUNCATE pg_temp.topk_arrived";
pub(super) const UPSERT_ARRIVED: &str = "INSERT INTO {counts} AS stored (window_start, {key}, {events})
    SELECT window_start, key, count FROM pg_temp.topk_arrived
    ON CONFLICT (window_start, {key}) DO UPDATE SET {events} = EXCLUDED.{events}
    WHERE stored.{events} <> EXCLUDED.{events}";
pub(super) const UPSERT_ARRIVED_ALL_TIME: &str = "INSERT INTO {counts} AS stored ({key}, {events})
    SELECT key, count FROM pg_temp.topk_arrived
    ON CONFLICT ({key}) DO UPDATE SET {events} = EXCLUDED.{events} WHERE stored.{events} <> EXCLUDED.{events}";

/// A window's ranking from its counts, where memory has it no more.
pub(super) const RANK_COUNTS: &str =
    "INSERT INTO {top_k} (period, region, start_time, end_time, rank, {key}, {event_count})
    SELECT $1, '', $2, $3, row_number() OVER (ORDER BY {events} DESC, {key}), {key}, {events}
    FROM (SELECT {key}, {events} FROM {counts} WHERE window_start = $2 ORDER BY {events} DESC, {key} LIMIT $4) AS best";

/// Partitions of a count table with the bounds of their window starts.
pub(super) const PARTITIONS: &str = "SELECT name, (regexp_match(bound, 'FROM \\(''([^'']+)''\\)'))[1]::timestamptz,
    (regexp_match(bound, 'TO \\(''([^'']+)''\\)'))[1]::timestamptz
    FROM (SELECT child.relname::text AS name, pg_get_expr(child.relpartbound, child.oid) AS bound
      FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid WHERE inhparent = to_regclass($1)) AS partitions";

pub(super) const SWEEP_TOP_K: &str = "DELETE FROM {top_k} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {top_k} WHERE period = $1 AND start_time < $2 LIMIT $3))";
pub(super) const SWEEP_STATUS: &str = "DELETE FROM {status} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {status} WHERE \"window\" = $1 AND window_start < $2 LIMIT $3))";

pub(super) const CREATE_READER: &str = "DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'topk_read') THEN CREATE ROLE topk_read NOLOGIN; END IF;
    END $$";
pub(super) const GRANT_READER: &str = "GRANT USAGE ON SCHEMA {schema} TO topk_read;
    GRANT SELECT ON {job}, {progress}, {ledger}, {status}, {top_k} TO topk_read";
pub(super) const GRANT_READER_COUNTS: &str = "GRANT SELECT ON {counts} TO topk_read";

pub(super) const NEWEST: &str = "SELECT max(window_start) FROM {status}
    WHERE \"window\" = $1 AND {events} > 0 AND (NOT $2 OR state <> 'open')";

/// One statement is one snapshot. The ranking may be older than the counts; it is the answer only if nothing of the
/// window changed since, and if it is as long as asked for: K may have been smaller. Else the counts are, by their index.
pub(super) const TOP_K: &str = "WITH progress AS (
      SELECT generation, epoch, top_k_epoch, as_of FROM {progress} WHERE shard = 0
    ), status AS (
      SELECT state, {events} AS total_events, {keys} AS total_keys, late, epoch AS changed
      FROM {status} WHERE \"window\" = $1 AND window_start = $2
    ), ranked AS (
      SELECT coalesce(status.changed <= progress.top_k_epoch, false) AND EXISTS (
        SELECT FROM {top_k} WHERE period = $1 AND region = '' AND start_time = $2
        AND rank = least($3::bigint, status.total_keys)) AS fresh
      FROM status CROSS JOIN progress
    ), entries AS (
      SELECT {key} AS key, {event_count} AS count, rank::bigint AS rank FROM {top_k}
      WHERE (SELECT fresh FROM ranked) AND period = $1 AND region = '' AND start_time = $2 AND rank <= $3::bigint
      UNION ALL
      SELECT {key}, {events}, row_number() OVER (ORDER BY {events} DESC, {key}) FROM (FROM_COUNTS) AS best
    )
    SELECT state, total_events, total_keys, late, epoch, generation, as_of, key, count
    FROM status CROSS JOIN progress LEFT JOIN entries ON true ORDER BY rank";
pub(super) const FROM_COUNTS: &str = "SELECT {key}, {events} FROM {counts}
    WHERE NOT (SELECT fresh FROM ranked) AND window_start = $2 ORDER BY {events} DESC, {key} LIMIT $3::bigint";
pub(super) const FROM_COUNTS_ALL_TIME: &str = "SELECT {key}, {events} FROM {counts}
    WHERE NOT (SELECT fresh FROM ranked) ORDER BY {events} DESC, {key} LIMIT $3::bigint";
