-- SQLite keeps these comments in sqlite_schema. Times are RFC 3339 text in UTC; all time has the start and end ''.
CREATE TABLE {job} (
  job TEXT NOT NULL PRIMARY KEY,        -- the one job that owns this file
  table_prefix TEXT NOT NULL,
  key_column TEXT NOT NULL,
  schema_version INTEGER NOT NULL,
  generation INTEGER NOT NULL,          -- the newest incarnation; an older one may not write
  updated_at TEXT NOT NULL
) STRICT;
CREATE TABLE {progress} (
  shard INTEGER NOT NULL PRIMARY KEY,   -- 0
  generation INTEGER NOT NULL,          -- the incarnation that wrote last
  epoch INTEGER NOT NULL,               -- every row of every table is as of this epoch
  top_k_epoch INTEGER,                  -- {top_k} is as of this one
  commit_hash TEXT NOT NULL,            -- SHA-256 of that epoch's record
  offsets TEXT NOT NULL,                -- JSON: where reading goes on, by partition
  partitions TEXT NOT NULL,             -- JSON: all that the journal knows of each partition
  as_of TEXT,                           -- the job watermark
  updated_at TEXT NOT NULL
) STRICT;
CREATE TABLE {ledger} (
  partition TEXT NOT NULL PRIMARY KEY,
  consumed INTEGER NOT NULL,            -- counted + dead_lettered
  counted INTEGER NOT NULL,
  dead_lettered INTEGER NOT NULL
) STRICT;
CREATE TABLE {status} (
  "window" TEXT NOT NULL,               -- kind
  window_start TEXT NOT NULL,
  window_end TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'closed', 'final')),
  {events} INTEGER NOT NULL,            -- sum over all {some_keys}
  {keys} INTEGER NOT NULL,              -- how many have a count
  late INTEGER NOT NULL,                -- {some_events} that came too late for this window
  epoch INTEGER NOT NULL,               -- when this row last changed
  PRIMARY KEY ("window", window_start)
) STRICT, WITHOUT ROWID;
CREATE TABLE {top_k} (
  period TEXT NOT NULL,                 -- kind
  region TEXT NOT NULL,                 -- '' means all
  start_time TEXT NOT NULL,
  end_time TEXT NOT NULL,
  rank INTEGER NOT NULL CHECK (rank > 0),
  {key} TEXT NOT NULL,
  {event_count} INTEGER NOT NULL CHECK ({event_count} > 0),
  PRIMARY KEY (period, region, start_time, rank)
) STRICT, WITHOUT ROWID;
