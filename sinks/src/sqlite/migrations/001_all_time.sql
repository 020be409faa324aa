CREATE TABLE {counts} (
  {key} TEXT NOT NULL PRIMARY KEY,
  {events} INTEGER NOT NULL CHECK ({events} > 0)
) STRICT, WITHOUT ROWID;
CREATE INDEX {counts_index} ON {counts} ({events} DESC, {key});
