"""W2: the views of W1 in a topic (8 partitions, lz4) through the whole job, beside a bare librdkafka consumer draining it.

The consumer is the quickest that librdkafka offers (arrays from one queue) and looks at nothing. They take turns on the
same broker, each run a process of its own. Before a figure is printed, one more run of topk fills SQLite too, and every
count and list must equal what DuckDB counts in the file.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

import confluent_kafka
import confluent_kafka.admin
import oracle
import services
import topk
import views

TOPIC = "view_events"
PARTITIONS = 8


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--views", type=int, default=10_000_000)
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)


def fill(brokers: str, file: pathlib.Path) -> None:
    """Every line of the file is a record; the partitions take turns, so that each is in the order of time."""
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": brokers})
    for made in admin.create_topics([confluent_kafka.admin.NewTopic(TOPIC, PARTITIONS, 1)]).values():
        made.result()
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": brokers,
            "compression.type": "lz4",
            "linger.ms": 50,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    with file.open("rb") as lines:
        for index, line in enumerate(lines):
            while True:
                try:
                    producer.produce(TOPIC, line.rstrip(b"\n"), partition=index % PARTITIONS)
                    break
                except BufferError:
                    producer.poll(0.1)
    producer.flush()


def drained(brokers: str) -> tuple[float, int]:
    """Millions of records per second of the bare consumer, and how many there were."""
    program = ["cargo", "run", "--locked", "--quiet", "--release", "-p", "sources", "--example", "drain", "--"]
    said = subprocess.run([*program, brokers, TOPIC, "1", "batch"], check=True, capture_output=True, text=True).stdout
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
    file = views.file(chosen.cache, chosen.views, chosen.videos)
    ours, theirs, summary = [], [], ""
    root = pathlib.Path(tempfile.mkdtemp(prefix="topk-w2-"))
    try:
        with services.started("KAFKA") as found:
            brokers = found["KAFKA"]
            print("Filling the topic…", file=sys.stderr)
            fill(brokers, file)
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
