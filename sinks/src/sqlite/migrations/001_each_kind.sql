CREATE TABLE {counts} (
  window_start TEXT NOT NULL,           -- {kind}
  {key} TEXT NOT NULL,
  {events} INTEGER NOT NULL CHECK ({events} > 0),
  PRIMARY KEY (window_start, {key})
) STRICT, WITHOUT ROWID;
CREATE INDEX {counts_index} ON {counts} (window_start, {events} DESC, {key});
