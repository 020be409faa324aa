CREATE TABLE {counts} (
  window_start timestamptz NOT NULL,
  {key} text COLLATE "C" NOT NULL,
  {events} bigint NOT NULL CHECK ({events} > 0),
  PRIMARY KEY (window_start, {key})
);
CREATE INDEX {counts_index} ON {counts} (window_start, {events} DESC, {key});
COMMENT ON TABLE {counts} IS '{some_events} of each {a_key} by {kind}, as of topk_progress.epoch.';
COMMENT ON COLUMN {counts}.window_start IS 'First instant of the window.';
COMMENT ON COLUMN {counts}.{key} IS 'The {a_key}.';
COMMENT ON COLUMN {counts}.{events} IS 'Its {some_events} in the window; never 0.';
