//! The SQL of the SQLite tables, with names to fill in. A row is a statement: nothing travels.

pub(super) const DELETE_RANKING: &str = "DELETE FROM {top_k} WHERE period = ?1 AND region = '' AND start_time = ?2";
pub(super) const RANK_COUNTS: &str = "INSERT INTO {top_k}
    SELECT ?1, '', ?2, ?3, row_number() OVER (ORDER BY {events} DESC, {key}), {key}, {events}
    FROM (SELECT {key}, {events} FROM {counts} WHERE window_start = ?2 ORDER BY {events} DESC, {key} LIMIT ?4)";
pub(super) const UPSERT: &str = "INSERT INTO {counts} (window_start, {key}, {events}) VALUES (?1, ?2, ?3)
    ON CONFLICT (window_start, {key}) DO UPDATE SET {events} = excluded.{events} WHERE {events} <> excluded.{events}";
pub(super) const UPSERT_ALL_TIME: &str = "INSERT INTO {counts} ({key}, {events}) VALUES (?1, ?2)
    ON CONFLICT ({key}) DO UPDATE SET {events} = excluded.{events} WHERE {events} <> excluded.{events}";
/// `epoch` says when a row last changed: what a restart says again leaves it alone.
pub(super) const UPSERT_STATUS: &str = "INSERT INTO {status} AS stored VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (\"window\", window_start) DO UPDATE SET window_end = excluded.window_end, state = excluded.state,
    {events} = excluded.{events}, {keys} = excluded.{keys}, late = excluded.late, epoch = excluded.epoch
    WHERE stored.window_end <> excluded.window_end OR stored.state <> excluded.state
    OR stored.{events} <> excluded.{events} OR stored.{keys} <> excluded.{keys} OR stored.late <> excluded.late";
pub(super) const UPSERT_LEDGER: &str = "INSERT INTO {ledger} VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (partition) DO UPDATE SET consumed = excluded.consumed, counted = excluded.counted,
    dead_lettered = excluded.dead_lettered, lost = excluded.lost";
pub(super) const UPSERT_PROGRESS: &str = "INSERT INTO {progress} VALUES (0, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (shard) DO UPDATE SET generation = excluded.generation, epoch = excluded.epoch,
    top_k_epoch = coalesce(excluded.top_k_epoch, top_k_epoch), commit_hash = excluded.commit_hash,
    offsets = excluded.offsets, partitions = excluded.partitions, as_of = excluded.as_of,
    updated_at = excluded.updated_at";
pub(super) const UPSERT_JOB: &str = "INSERT INTO {job} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (job) DO UPDATE SET schema_version = excluded.schema_version, generation = excluded.generation,
    updated_at = excluded.updated_at, journal = coalesce(excluded.journal, journal)";
pub(super) const SWEEP_COUNTS: &str = "DELETE FROM {counts} WHERE (window_start, {key}) IN
    (SELECT window_start, {key} FROM {counts} WHERE window_start < ?1 ORDER BY window_start, {key} LIMIT ?2)";
pub(super) const SWEEP_TOP_K: &str = "DELETE FROM {top_k} WHERE (period, region, start_time, rank) IN
    (SELECT period, region, start_time, rank FROM {top_k} WHERE period = ?1 AND start_time < ?2 LIMIT ?3)";
pub(super) const SWEEP_STATUS: &str = "DELETE FROM {status} WHERE (\"window\", window_start) IN
    (SELECT \"window\", window_start FROM {status} WHERE \"window\" = ?1 AND window_start < ?2 LIMIT ?3)";
