"""Counts and lists by DuckDB, from the same views: what topk's tables must say before a figure counts."""

import csv
import pathlib
import sqlite3
import sys

import duckdb

READ = (
    "read_json('{file}', format='newline_delimited', columns={{video_id: 'VARCHAR', view_timestamp: 'BIGINT'}})"
)
COUNTS = (
    "SELECT view_timestamp // 60000 AS minute, video_id, count(*) AS views FROM "
    + READ
    + " GROUP BY ALL"
)


def load(duck: duckdb.DuckDBPyConnection, database: pathlib.Path, table: str) -> None:
    """A table of SQLite's as a table of DuckDB's, by way of a CSV file: DuckDB's own reader is an extension to download."""
    copy = database.with_suffix(f".{table}.csv")
    with sqlite3.connect(database) as source, copy.open("w", newline="") as to:
        rows = source.execute(f"SELECT * FROM {table}")
        writer = csv.writer(to)
        writer.writerow(column[0] for column in rows.description)
        writer.writerows(rows)
    duck.sql(f"CREATE TABLE topk.{table} AS FROM read_csv('{copy}', all_varchar=true)")
    for column in ["views", "view_count", "rank"]:
        if column in duck.table(f"topk.{table}").columns:
            duck.sql(f"ALTER TABLE topk.{table} ALTER {column} TYPE BIGINT")
    copy.unlink()


def check(file: pathlib.Path, database: pathlib.Path, k: int = 1000) -> None:
    """Exit unless every count and every list in SQLite is what DuckDB counts."""
    duck = duckdb.connect()
    duck.sql("CREATE SCHEMA topk")
    for table in [*(f"video_views_{name}" for name in ["minute", "hour", "day", "month", "all_time"]), "top_k_videos"]:
        load(duck, database, table)
    duck.sql(f"CREATE TABLE expected AS {COUNTS.format(file=file)}")
    windows = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
    for name, length in windows.items():
        differences = duck.sql(
            f"""
            WITH expected AS (
                SELECT minute * 60000 // {length} * {length} AS start, video_id, sum(views) AS views
                FROM expected GROUP BY ALL),
            found AS (
                SELECT epoch_ms(window_start::TIMESTAMP) AS start, video_id, views FROM topk.video_views_{name})
            SELECT count(*) FROM expected FULL JOIN found USING (start, video_id)
            WHERE expected.views IS DISTINCT FROM found.views"""
        ).fetchall()[0]
        lists = duck.sql(
            f"""
            WITH expected AS (
                SELECT minute * 60000 // {length} * {length} AS start, video_id, sum(views) AS views,
                       row_number() OVER (PARTITION BY start ORDER BY sum(views) DESC, video_id) AS rank
                FROM expected GROUP BY start, video_id QUALIFY rank <= {k}),
            found AS (
                SELECT epoch_ms(start_time::TIMESTAMP) AS start, video_id, view_count, rank
                FROM topk.top_k_videos WHERE period = '{name}')
            SELECT count(*) FROM expected FULL JOIN found USING (start, video_id)
            WHERE expected.views IS DISTINCT FROM view_count OR expected.rank IS DISTINCT FROM found.rank"""
        ).fetchall()[0]
        if differences != (0,) or lists != (0,):
            sys.exit(f"{name}: {differences[0]} counts and {lists[0]} places in lists differ from DuckDB's")
    # All views are of one hour, so these hold one window.
    for name in ["month", "all_time"]:
        differences = duck.sql(
            f"""
            WITH expected AS (SELECT video_id, sum(views) AS views FROM expected GROUP BY ALL)
            SELECT count(*) FROM expected FULL JOIN topk.video_views_{name} AS found USING (video_id)
            WHERE expected.views IS DISTINCT FROM found.views"""
        ).fetchall()[0]
        lists = duck.sql(
            f"""
            WITH expected AS (
                SELECT video_id, sum(views) AS views, row_number() OVER (ORDER BY sum(views) DESC, video_id) AS rank
                FROM expected GROUP BY video_id QUALIFY rank <= {k}),
            found AS (SELECT video_id, view_count, rank FROM topk.top_k_videos WHERE period = '{name}')
            SELECT count(*) FROM expected FULL JOIN found USING (video_id)
            WHERE expected.views IS DISTINCT FROM view_count OR expected.rank IS DISTINCT FROM found.rank"""
        ).fetchall()[0]
        if differences != (0,) or lists != (0,):
            sys.exit(f"{name}: {differences[0]} counts and {lists[0]} places in lists differ from DuckDB's")
