"""W2: a topic of views (8 partitions, lz4) through the whole job, beside a bare librdkafka consumer draining it.

The consumer is the quickest that librdkafka offers (callbacks from one queue) and looks at nothing. They take turns on the
same broker, each run a process of its own. Before a figure is printed, one more run of topk fills SQLite too, and every
count and list must equal what DuckDB counts in a file of the same views.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

import oracle
import services
import topk

TOPIC = "view_events"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--views", type=int, default=10_000_000)
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)


def generate(binary: pathlib.Path, chosen: argparse.Namespace, to: list[str]) -> None:
    """The views of one hour, in order of time; the same bytes wherever they go."""
    words = ["--count", chosen.views, "--videos", chosen.videos, "--rate", chosen.views / 3600]
    words += ["--disorder", 0, "--late", 0, "--malformed", 0, "--start", "2025-10-19T12:00:00Z"]
    subprocess.run([binary, "generate", *map(str, words), *to], check=True, stdout=subprocess.DEVNULL)


def drained(brokers: str) -> tuple[float, int]:
    """Millions of records per second of the bare consumer, and how many there were."""
    program = ["cargo", "run", "--locked", "--quiet", "--release", "-p", "sources", "--example", "drain", "--"]
    said = subprocess.run([*program, brokers, TOPIC, "1", "callback"], check=True, capture_output=True, text=True).stdout
    words = said.split()
    return float(words[1]), int(said.rsplit("(", 1)[1].split()[0])


def settings(brokers: str, state: pathlib.Path, workers: int, tables: str) -> topk.Settings:
    return {
        "job.workers": workers,
        "source.kind": "kafka",
        "source.kafka.brokers": brokers,
        "source.kafka.topic": TOPIC,
        "sink.dead_letters.topic": "view_events.dead",
        "sink.tables": tables,
        "sink.sqlite.path": str(state / "topk.db"),
        "sink.board": "none",
    }


def measure(chosen: argparse.Namespace) -> int:
    binary = chosen.binary.resolve()
    file = (chosen.cache / f"generated-{chosen.views}-{chosen.videos}.ndjson").resolve()
    if not file.exists():
        print(f"Writing {chosen.views:,} views to {file}…", file=sys.stderr)
        generate(binary, chosen, ["--file", str(file.with_suffix(".unfinished"))])
        file.with_suffix(".unfinished").rename(file)
    ours, theirs, summary = [], [], ""
    root = pathlib.Path(tempfile.mkdtemp(prefix="topk-w2-"))
    try:
        with services.started("KAFKA") as found:
            brokers = found["KAFKA"]
            print("Filling the topic…", file=sys.stderr)
            to = ["--kafka", "--partitions", "8", "--compression", "lz4"]
            generate(binary, chosen, [*to, "--set", f"source.kafka.brokers={brokers}"])
            for turn in range(chosen.rounds):
                rate, records = drained(brokers)
                assert records == chosen.views, f"the topic has {records} records"
                theirs.append(rate * 1e6)
                state = root / str(turn)
                config = topk.configuration(state, settings(brokers, state, chosen.workers, "none"))
                seconds, summary = topk.run(binary, config)
                # From its first read to its last commit, as the consumer is measured without its start.
                ours.append(chosen.views / float(topk.summary_line(summary, "seconds")))
                print(
                    f"round {turn + 1}: topk {ours[-1] / 1e6:.2f} M views/s ({seconds:.2f} s with its start and end), "
                    f"bare consumer {rate:.2f} M/s",
                    file=sys.stderr,
                )
            print("checking every count and list against DuckDB…", file=sys.stderr)
            state = root / "checked"
            topk.run(binary, topk.configuration(state, settings(brokers, state, chosen.workers, "sqlite")))
            oracle.check(file, state / "topk.db")
    finally:
        shutil.rmtree(root)
    print(summary.strip(), file=sys.stderr)
    figures = {
        "views": chosen.views,
        "topk_views_per_second": round(statistics.median(ours)),
        "consumer_records_per_second": round(statistics.median(theirs)),
        "ratio": round(statistics.median(own / bare for own, bare in zip(ours, theirs)), 3),
        "checked": "every count and list equals DuckDB's",
    }
    print(json.dumps(figures, indent=2))
    return 0
