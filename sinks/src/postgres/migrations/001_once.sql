CREATE TABLE {job} (
  job text PRIMARY KEY,
  table_prefix text NOT NULL,
  key_column text NOT NULL,
  schema_version integer NOT NULL,
  generation bigint NOT NULL,
  updated_at timestamptz NOT NULL
);
COMMENT ON TABLE {job} IS 'The one job that owns the tables of this schema, and its newest incarnation.';
COMMENT ON COLUMN {job}.job IS 'Name of the job. Another job is refused.';
COMMENT ON COLUMN {job}.table_prefix IS 'First part of the count tables'' names.';
COMMENT ON COLUMN {job}.key_column IS 'Name of the columns that hold a {a_key}.';
COMMENT ON COLUMN {job}.schema_version IS 'The last migration applied.';
COMMENT ON COLUMN {job}.generation IS 'The newest incarnation of the job; an older one may not write any more.';
COMMENT ON COLUMN {job}.updated_at IS 'Wall clock of the last start.';

CREATE TABLE {progress} (
  shard integer PRIMARY KEY,
  generation bigint NOT NULL,
  epoch bigint NOT NULL,
  top_k_epoch bigint,
  commit_hash text NOT NULL,
  offsets jsonb NOT NULL,
  partitions jsonb NOT NULL,
  as_of timestamptz,
  updated_at timestamptz NOT NULL
);
COMMENT ON TABLE {progress} IS 'How far the tables have got. Written in the transaction that writes the rows, so that both always agree.';
COMMENT ON COLUMN {progress}.shard IS 'Always 0.';
COMMENT ON COLUMN {progress}.generation IS 'The incarnation of the job that wrote last.';
COMMENT ON COLUMN {progress}.epoch IS 'The committed epoch that every row of every table is as of.';
COMMENT ON COLUMN {progress}.top_k_epoch IS 'The epoch that the rankings are as of.';
COMMENT ON COLUMN {progress}.commit_hash IS 'SHA-256 of that epoch''s record in the journal.';
COMMENT ON COLUMN {progress}.offsets IS 'By partition: the next offset to read. Everything before it is in the tables.';
COMMENT ON COLUMN {progress}.partitions IS 'By partition: all that the journal knows of it (offset, fingerprint, watermark, floors).';
COMMENT ON COLUMN {progress}.as_of IS 'The job watermark: windows that end by then are closed. Null before the first {an_event}.';
COMMENT ON COLUMN {progress}.updated_at IS 'Wall clock of the last flush.';

CREATE TABLE {ledger} (
  partition text COLLATE "C" PRIMARY KEY,
  consumed bigint NOT NULL,
  counted bigint NOT NULL,
  dead_lettered bigint NOT NULL
);
COMMENT ON TABLE {ledger} IS 'Every record is accounted for: consumed = counted + dead_lettered.';
COMMENT ON COLUMN {ledger}.partition IS 'Name of the source partition.';
COMMENT ON COLUMN {ledger}.consumed IS 'Records read.';
COMMENT ON COLUMN {ledger}.counted IS 'Records that counted in at least one window.';
COMMENT ON COLUMN {ledger}.dead_lettered IS 'Records that could not be counted; they are among the dead letters.';

CREATE TABLE {status} (
  "window" text COLLATE "C" NOT NULL,
  window_start timestamptz NOT NULL,
  window_end timestamptz NOT NULL,
  state text NOT NULL CHECK (state IN ('open', 'closed', 'final')),
  {events} bigint NOT NULL CHECK ({events} >= 0),
  {keys} bigint NOT NULL CHECK ({keys} >= 0),
  late bigint NOT NULL CHECK (late >= 0),
  epoch bigint NOT NULL,
  PRIMARY KEY ("window", window_start)
);
COMMENT ON TABLE {status} IS 'One row for each window that had a {an_event}, or only late ones.';
COMMENT ON COLUMN {status}."window" IS 'Kind of window.';
COMMENT ON COLUMN {status}.window_start IS 'First instant inside; -infinity for all time.';
COMMENT ON COLUMN {status}.window_end IS 'First instant after; infinity for all time.';
COMMENT ON COLUMN {status}.state IS 'open: more {some_events} are expected; closed: only late ones; final: its counts never change again.';
COMMENT ON COLUMN {status}.{events} IS 'Sum of the counts of all {some_keys}.';
COMMENT ON COLUMN {status}.{keys} IS 'How many {some_keys} have a count.';
COMMENT ON COLUMN {status}.late IS '{some_events} that came too late to count here.';
COMMENT ON COLUMN {status}.epoch IS 'The epoch at which this row last changed.';

CREATE TABLE {top_k} (
  period text COLLATE "C" NOT NULL,
  region text COLLATE "C" NOT NULL,
  start_time timestamptz NOT NULL,
  end_time timestamptz NOT NULL,
  rank integer NOT NULL CHECK (rank > 0),
  {key} text COLLATE "C" NOT NULL,
  {event_count} bigint NOT NULL CHECK ({event_count} > 0),
  PRIMARY KEY (period, region, start_time, rank)
);
COMMENT ON TABLE {top_k} IS 'The {some_keys} with the most {some_events} in each window; as of topk_progress.top_k_epoch.';
COMMENT ON COLUMN {top_k}.period IS 'Kind of window.';
COMMENT ON COLUMN {top_k}.region IS 'Empty: all {some_events}.';
COMMENT ON COLUMN {top_k}.start_time IS 'First instant of the window; -infinity for all time.';
COMMENT ON COLUMN {top_k}.end_time IS 'First instant after the window; infinity for all time.';
COMMENT ON COLUMN {top_k}.rank IS 'From 1. Equal counts are in the order of the bytes of {key}.';
COMMENT ON COLUMN {top_k}.{key} IS 'The {a_key}.';
COMMENT ON COLUMN {top_k}.{event_count} IS 'Its {some_events} in the window.';
