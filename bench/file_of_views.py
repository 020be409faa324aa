"""W1: a file of views through decode, five windows, ranking and a local journal, beside DuckDB.

DuckDB does one GROUP BY of minute and video over the same file. Both get the same number of threads; they take turns, and
each run is a process of its own. Before a figure is printed, one more run of topk fills SQLite too, and every minute's count of
every video must equal DuckDB's, and every list its ranking.
"""

import argparse
import csv
import json
import pathlib
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

import duckdb
import views

READ = (
    "read_json('{file}', format='newline_delimited', columns={{video_id: 'VARCHAR', view_timestamp: 'BIGINT'}})"
)
COUNTS = (
    "SELECT view_timestamp // 60000 AS minute, video_id, count(*) AS views FROM "
    + READ
    + " GROUP BY ALL"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--views", type=int, default=10_000_000)
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2, help="DuckDB's")
    parser.add_argument("--keep", action="store_true", help="keep the journal and SQLite file, and say where")


def configuration(state: pathlib.Path, file: pathlib.Path, workers: int, tables: str) -> pathlib.Path:
    path = state / f"{tables}.toml"
    path.write_text(
        f"""
[job]
state = "file:{state}"
workers = {workers}
listen = "127.0.0.1:0"
[source]
kind = "file"
[source.file]
path = "{file}"
[sink]
tables = "{tables}"
board = "none"
[sink.sqlite]
path = "{state}/topk.db"
[sink.dead_letters]
file = "{state}/dead.ndjson"
"""
    )
    return path


def run(binary: pathlib.Path, settings: pathlib.Path) -> tuple[float, str]:
    """Seconds of one `topk run --until-end`, and its summary."""
    started = time.monotonic()
    ended = subprocess.run([binary, "run", "--until-end", "--config", settings], capture_output=True, text=True)
    seconds = time.monotonic() - started
    if ended.returncode != 0:
        sys.exit(f"topk exited {ended.returncode}:\n{ended.stderr}")
    return seconds, ended.stdout + ended.stderr


def peer(file: pathlib.Path, threads: int) -> float:
    """Seconds of DuckDB's query, in a process of its own."""
    query = f"SELECT count(*), sum(views) FROM ({COUNTS.format(file=file)})"
    program = f"import duckdb; duckdb.connect(config={{'threads': {threads}}}).sql({query!r}).fetchall()"
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.monotonic() - started


def load(oracle: duckdb.DuckDBPyConnection, database: pathlib.Path, table: str) -> None:
    """A table of SQLite's as a table of DuckDB's, by way of a CSV file: DuckDB's own reader is an extension to download."""
    copy = database.with_suffix(f".{table}.csv")
    with sqlite3.connect(database) as source, copy.open("w", newline="") as to:
        rows = source.execute(f"SELECT * FROM {table}")
        writer = csv.writer(to)
        writer.writerow(column[0] for column in rows.description)
        writer.writerows(rows)
    oracle.sql(f"CREATE TABLE topk.{table} AS FROM read_csv('{copy}', all_varchar=true)")
    for column in ["views", "view_count", "rank"]:
        if column in oracle.table(f"topk.{table}").columns:
            oracle.sql(f"ALTER TABLE topk.{table} ALTER {column} TYPE BIGINT")
    copy.unlink()


def check(file: pathlib.Path, database: pathlib.Path, k: int = 1000) -> None:
    """Exit unless every count and every list in SQLite is what DuckDB counts."""
    oracle = duckdb.connect()
    oracle.sql("CREATE SCHEMA topk")
    for table in [*(f"video_views_{name}" for name in ["minute", "hour", "day", "month", "all_time"]), "top_k_videos"]:
        load(oracle, database, table)
    oracle.sql(f"CREATE TABLE expected AS {COUNTS.format(file=file)}")
    windows = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
    for name, length in windows.items():
        differences = oracle.sql(
            f"""
            WITH expected AS (
                SELECT minute * 60000 // {length} * {length} AS start, video_id, sum(views) AS views
                FROM expected GROUP BY ALL),
            found AS (
                SELECT epoch_ms(window_start::TIMESTAMP) AS start, video_id, views FROM topk.video_views_{name})
            SELECT count(*) FROM expected FULL JOIN found USING (start, video_id)
            WHERE expected.views IS DISTINCT FROM found.views"""
        ).fetchall()[0]
        lists = oracle.sql(
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
        differences = oracle.sql(
            f"""
            WITH expected AS (SELECT video_id, sum(views) AS views FROM expected GROUP BY ALL)
            SELECT count(*) FROM expected FULL JOIN topk.video_views_{name} AS found USING (video_id)
            WHERE expected.views IS DISTINCT FROM found.views"""
        ).fetchall()[0]
        lists = oracle.sql(
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


def measure(chosen: argparse.Namespace) -> int:
    file = (chosen.cache / f"views-{chosen.views}-{chosen.videos}.ndjson").resolve()
    if not file.exists():
        print(f"Writing {chosen.views:,} views to {file}…", file=sys.stderr)
        views.write(file, chosen.views, chosen.videos)
    size = file.stat().st_size
    binary = chosen.binary.resolve()
    ours, theirs, summary = [], [], ""
    root = pathlib.Path(tempfile.mkdtemp(prefix="topk-w1-"))
    state = root
    try:
        for turn in range(chosen.rounds):
            theirs.append(peer(file, chosen.threads))
            state = root / str(turn)
            state.mkdir()
            seconds, summary = run(binary, configuration(state, file, chosen.workers, "none"))
            ours.append(seconds)
            print(f"round {turn + 1}: topk {seconds:.2f} s, DuckDB {theirs[-1]:.2f} s", file=sys.stderr)
        journal = sum(entry.stat().st_size for entry in state.rglob("*") if entry.is_file())
        print("checking every count and list against DuckDB…", file=sys.stderr)
        state = root / "checked"
        state.mkdir()
        run(binary, configuration(state, file, chosen.workers, "sqlite"))
        check(file, state / "topk.db")
    finally:
        if chosen.keep:
            print(f"kept: {state}", file=sys.stderr)
        else:
            shutil.rmtree(root)
    print(summary.strip(), file=sys.stderr)
    ratio = statistics.median(duck / own for own, duck in zip(ours, theirs))
    figures = {
        "views": chosen.views,
        "bytes_per_view": round(size / chosen.views, 1),
        "topk_views_per_second": round(chosen.views / statistics.median(ours)),
        "duckdb_views_per_second": round(chosen.views / statistics.median(theirs)),
        "ratio": round(ratio, 3),
        "journal_bytes_per_view": round(journal / chosen.views, 2),
        "checked": "every count and list equals DuckDB's",
    }
    print(json.dumps(figures, indent=2))
    return 0
