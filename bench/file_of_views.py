"""W1: a file of views through decode, five windows, ranking and a local journal, beside DuckDB.

DuckDB does one GROUP BY of minute and video over the same file. Both get the same number of threads; they take turns, and
each run is a process of its own. Before a figure is printed, one more run of topk fills SQLite too, and every minute's count of
every video must equal DuckDB's, and every list its ranking.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import oracle
import topk
import views

def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--views", type=int, default=10_000_000)
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2, help="DuckDB's")
    parser.add_argument("--keep", action="store_true", help="keep the journal and SQLite file, and say where")


def settings(file: pathlib.Path, state: pathlib.Path, workers: int, tables: str) -> topk.Settings:
    return {
        "job.workers": workers,
        "source.kind": "file",
        "source.file.path": str(file),
        "sink.tables": tables,
        "sink.sqlite.path": str(state / "topk.db"),
        "sink.board": "none",
    }


def peer(file: pathlib.Path, threads: int) -> float:
    """Seconds of DuckDB's query, in a process of its own."""
    query = f"SELECT count(*), sum(views) FROM ({oracle.COUNTS.format(file=file)})"
    program = f"import duckdb; duckdb.connect(config={{'threads': {threads}}}).sql({query!r}).fetchall()"
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.monotonic() - started


def measure(chosen: argparse.Namespace) -> int:
    file = views.file(chosen.cache, chosen.views, chosen.videos)
    size = file.stat().st_size
    binary = chosen.binary.resolve()
    ours, theirs, summary = [], [], ""
    root = pathlib.Path(tempfile.mkdtemp(prefix="topk-w1-"))
    state = root
    try:
        for turn in range(chosen.rounds):
            theirs.append(peer(file, chosen.threads))
            state = root / str(turn)
            config = topk.configuration(state, settings(file, state, chosen.workers, "none"))
            seconds, summary = topk.run(binary, config)
            ours.append(seconds)
            print(f"round {turn + 1}: topk {seconds:.2f} s, DuckDB {theirs[-1]:.2f} s", file=sys.stderr)
        journal = topk.size_of(state)
        print("checking every count and list against DuckDB…", file=sys.stderr)
        state = root / "checked"
        topk.run(binary, topk.configuration(state, settings(file, state, chosen.workers, "sqlite")))
        oracle.check(file, state / "topk.db")
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
