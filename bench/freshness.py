"""How old what is shown is: views at a steady rate through Kafka, default settings, Postgres and Redis.

For every view acknowledged by the broker: how long until the list of all time in Redis says at least as many views as were
acknowledged by then, and until Postgres does (window_status, committed with the counts).

A broker that has just started spends as much of a small machine on compiling itself as on its work; that is over before
the first view counts: the same load goes to a topic that nobody reads.
"""

import argparse
import bisect
import json
import pathlib
import re
import shutil
import sys
import tempfile
import threading
import time

import confluent_kafka
import confluent_kafka.admin
import numpy
import psycopg
import redis
import services
import topk
import views

TOPIC = "view_events"
WARM_UP_TOPIC = "warm_up"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=int, default=20_000, help="views per second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--warm-up", type=int, default=30, help="seconds of the same load before, on another topic")
    parser.add_argument("--videos", type=int, default=1_000_000, help="Zipf 1.0 over so many")


class Seen:
    """When a number of views was first reached: moments and numbers, both ascending."""

    def __init__(self) -> None:
        self.moments: list[float] = []
        self.numbers: list[int] = []

    def see(self, number: int) -> None:
        if not self.numbers or number > self.numbers[-1]:
            self.moments.append(time.monotonic())
            self.numbers.append(number)

    def reached(self, number: int) -> float:
        return self.moments[bisect.bisect_left(self.numbers, number)]


def produce(brokers: str, topic: str, seconds: int, chosen: argparse.Namespace, acknowledged: Seen) -> None:
    """Views with the present as their time, a hundredth of a second's worth at a time."""
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": brokers, "linger.ms": 5, "log_level": 0, "compression.type": "lz4", "acks": "all"}
    )
    done = 0

    def delivered(error: confluent_kafka.KafkaError | None, _message: confluent_kafka.Message) -> None:
        nonlocal done
        if error is not None:
            raise RuntimeError(error)
        done += 1

    batch = chosen.rate // 100
    drawn = views.draw(numpy.random.default_rng(42), chosen.videos, batch * seconds * 100)
    began = time.monotonic()
    for tick in range(seconds * 100):
        while (wait := began + tick / 100 - time.monotonic()) > 0:
            producer.poll(wait)
        now = time.time_ns() // 1_000_000
        for video in drawn[tick * batch : (tick + 1) * batch].tolist():
            producer.produce(topic, f'{{"video_id":"v{video}","view_timestamp":{now}}}', str(video), on_delivery=delivered)
        producer.poll(0)
        acknowledged.see(done)
    producer.flush()
    acknowledged.see(done)


def watch(ask, every: float, until: int, seen: Seen, stop: threading.Event) -> None:
    while not stop.is_set():
        number = ask()
        seen.see(number)
        if number >= until:
            return
        time.sleep(every)


def percentiles(delays: list[float]) -> dict[str, float]:
    delays.sort()
    at = lambda share: round(delays[min(int(len(delays) * share), len(delays) - 1)] * 1000)
    return {"p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": round(delays[-1] * 1000)}


def measure(chosen: argparse.Namespace) -> int:
    binary = chosen.binary.resolve()
    root = pathlib.Path(tempfile.mkdtemp(prefix="topk-freshness-"))
    total = chosen.rate // 100 * 100 * chosen.seconds
    acknowledged, boards, tables = Seen(), Seen(), Seen()
    try:
        with services.started("KAFKA", "POSTGRES", "REDIS") as found:
            admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": found["KAFKA"]})
            topics = [confluent_kafka.admin.NewTopic(name, 8, 1) for name in (TOPIC, WARM_UP_TOPIC)]
            for done in admin.create_topics(topics).values():
                done.result()
            produce(found["KAFKA"], WARM_UP_TOPIC, chosen.warm_up, chosen, Seen())
            config = topk.configuration(
                root,
                {
                    "source.kafka.brokers": found["KAFKA"],
                    "sink.postgres.url": found["POSTGRES"],
                    "sink.postgres.schema": "bench_freshness",
                    "sink.redis.url": found["REDIS"],
                    "sink.redis.prefix": "bench-freshness",
                    "sink.dead_letters.topic": "view_events.dead",
                },
            )
            with topk.running(binary, config) as job:
                while not topk.is_ready(topk.endpoint(root, job, "job")):
                    time.sleep(0.05)
                cache = redis.Redis.from_url(found["REDIS"])
                database = psycopg.connect(found["POSTGRES"], autocommit=True)
                query = "SELECT views FROM bench_freshness.window_status WHERE \"window\" = 'all_time'"

                def board() -> int:
                    # Its end is enough: a list of a thousand, read whole a hundred times a second, would be a load of its own.
                    total = re.search(rb'"total_views":(\d+)', cache.getrange("bench-freshness:all_time:all", -500, -1))
                    return int(total[1]) if total else 0

                def table() -> int:
                    row = database.execute(query).fetchone()
                    return row[0] if row else 0

                stop = threading.Event()
                watchers = [
                    threading.Thread(target=watch, args=(board, 0.01, total, boards, stop)),
                    threading.Thread(target=watch, args=(table, 0.02, total, tables, stop)),
                ]
                for watcher in watchers:
                    watcher.start()
                produce(found["KAFKA"], TOPIC, chosen.seconds, chosen, acknowledged)
                for watcher in watchers:
                    watcher.join(30)
                stop.set()
                url = topk.endpoint(root, job, "job")
                steps = {
                    name: topk.metric(url, f'topk_follower_step_seconds_sum{{follower="{name}"}}')
                    / topk.metric(url, f'topk_follower_step_seconds_count{{follower="{name}"}}')
                    for name in ["redis", "postgres"]
                }
    finally:
        shutil.rmtree(root)
    for name, seen in [("Redis", boards), ("Postgres", tables)]:
        if not seen.numbers or seen.numbers[-1] != total:
            sys.exit(f"{name} says {seen.numbers[-1:]} views, and {total} were acknowledged")
    # The first seconds are the job's first: not counted.
    warm = acknowledged.moments[0] + 5
    points = [(moment, number) for moment, number in zip(acknowledged.moments, acknowledged.numbers) if moment >= warm]
    delays = lambda seen: percentiles([max(seen.reached(number) - moment, 0.0) for moment, number in points])
    figures = {
        "views_per_second": chosen.rate,
        "acknowledged": acknowledged.numbers[-1],
        "points": len(points),
        "redis": delays(boards),
        "postgres": delays(tables),
        "mean_step_ms": {name: round(seconds * 1000) for name, seconds in steps.items()},
        "checked": "both end with exactly the acknowledged number",
    }
    print(json.dumps(figures, indent=2))
    return 0
