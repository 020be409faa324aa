CREATE TABLE {counts} (
  {key} text COLLATE "C" PRIMARY KEY,
  {events} bigint NOT NULL CHECK ({events} > 0)
);
CREATE INDEX {counts_index} ON {counts} ({events} DESC, {key});
COMMENT ON TABLE {counts} IS '{some_events} of each {a_key} since counting began, as of topk_progress.epoch.';
COMMENT ON COLUMN {counts}.{key} IS 'The {a_key}.';
COMMENT ON COLUMN {counts}.{events} IS 'Its {some_events}; never 0.';
