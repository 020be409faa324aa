"""The job's settings as the recount needs them: its own table of the contract's defaults, then the TOML file, then the command line.

The table repeats config/default.toml on purpose: a default that changed by mistake shows up as a difference.
"""

import argparse
import json
import re
import tomllib
from pathlib import Path

DEFAULTS = {
    "job.name": "video-views",
    "source.kind": "kafka",
    "source.kafka.brokers": "localhost:9092",
    "source.kafka.topic": "view_events",
    "source.file.path": "views.ndjson",
    "event.key": ["video_id", "videoId"],
    "event.time": ["view_timestamp", "timestamp"],
    "event.max_bytes": 65536,
    "event.max_key_bytes": 256,
    "time.zone": "UTC",
    "time.out_of_orderness": "5s",
    "time.allowed_lateness": "60s",
    "time.max_future_skew": "60s",
    "windows.tumbling": ["minute", "hour", "day", "month", "all_time"],
    "retention.minute": "48h",
    "retention.hour": "30d",
    "retention.day": "400d",
    "retention.month": "forever",
    "topk.k": 1000,
    "sink.tables": "postgres",
    "sink.board": "redis",
    "sink.postgres.url": "postgres://localhost/topk",
    "sink.postgres.schema": "public",
    "sink.postgres.table_prefix": "video_views",
    "sink.postgres.key_column": "video_id",
    "sink.sqlite.path": "./data/topk.db",
    "sink.redis.url": "redis://localhost:6379",
    "sink.redis.prefix": "topk",
    "sink.dead_letters.topic": None,
    "sink.dead_letters.file": None,
}
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
FLAGS = {
    "--brokers": "source.kafka.brokers", "--topic": "source.kafka.topic", "--files": "source.file.path",
    "--dead-topic": "sink.dead_letters.topic", "--dead-file": "sink.dead_letters.file",
    "--postgres": "sink.postgres.url", "--schema": "sink.postgres.schema", "--prefix": "sink.postgres.table_prefix",
    "--key-column": "sink.postgres.key_column", "--sqlite": "sink.sqlite.path",
    "--redis": "sink.redis.url", "--redis-prefix": "sink.redis.prefix",
    "--zone": "time.zone", "--out-of-orderness": "time.out_of_orderness", "--allowed-lateness": "time.allowed_lateness",
    "--max-future-skew": "time.max_future_skew", "--k": "topk.k",
    "--retention-minute": "retention.minute", "--retention-hour": "retention.hour",
    "--retention-day": "retention.day", "--retention-month": "retention.month",
}
# Naming a place also says which kind of place it is.
IMPLIED = {
    "--brokers": ("source.kind", "kafka"), "--files": ("source.kind", "file"), "--postgres": ("sink.tables", "postgres"),
    "--sqlite": ("sink.tables", "sqlite"), "--redis": ("sink.board", "redis"),
}


def duration(text):
    """Milliseconds of `250ms 5s 1m 1h 30d`; None for `forever`."""
    if text == "forever":
        return None
    match = re.fullmatch(r"([0-9]+)(ms|s|m|h|d)", text)
    if match is None:
        raise ValueError(f"{text!r} is no duration")
    return int(match[1]) * UNITS[match[2]]


def flat(table, prefix=""):
    """Dotted names of a TOML table's settings."""
    for name, value in table.items():
        if isinstance(value, dict) and prefix + name not in DEFAULTS and name != "properties":
            yield from flat(value, prefix + name + ".")
        else:
            yield prefix + name, value


def arguments(words=None):
    """Reads the command line: (settings, options)."""
    parser = argparse.ArgumentParser(
        prog="recount",
        description="Recounts the log by the written rules and compares tables, boards and dead letters; exit 0 only when all of them "
        "were compared and nothing differs. Compares the job at rest, after `topk run --until-end`.",
        epilog="example: python3 tests/recount --config run.toml",
    )
    parser.add_argument("--config", help="the job's TOML file; flags win over it")
    for flag, name in FLAGS.items():
        parser.add_argument(flag, metavar="VALUE", help=f"{name} (default {DEFAULTS[name]})")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any other setting, the value as TOML")
    parser.add_argument("--no-boards", action="store_true", help="there are no boards to compare (board = memory or none)")
    parser.add_argument("--until", metavar="OFFSETS",
                        help='count only below these offsets: JSON such as {"0":120,"1":98}, a file of it, or "tables": where topk_progress stands')
    parser.add_argument("--floors", default="[]", help="floors granted to partitions that woke up: JSON [[partition, offset, ms], …]")
    parser.add_argument("--lost", default="[]", help="what was accepted as lost before it was read: JSON [[partition, first, last], …]")
    parser.add_argument("--started", type=int, default=0, metavar="MS",
                        help="when the job first started, epoch ms: no clock of its was earlier, no board of its is older")
    parser.add_argument("--show", type=int, default=20, metavar="N", help="differences shown by name per check (default 20)")
    parser.add_argument("--summary", metavar="FILE", help="also write the summary as JSON")
    options = parser.parse_args(words)
    settings = dict(DEFAULTS)
    if options.config:
        with open(options.config, "rb") as file:
            settings.update(flat(tomllib.load(file)))
    for flag, name in FLAGS.items():
        value = getattr(options, flag[2:].replace("-", "_"))
        if value is not None:
            settings[name] = int(value) if isinstance(DEFAULTS[name], int) else value
            if flag in IMPLIED:
                settings[IMPLIED[flag][0]] = IMPLIED[flag][1]
    for pair in options.set:
        name, value = pair.split("=", 1)
        if name not in DEFAULTS:
            parser.error(f"{name} is no setting that the recount knows")
        settings[name] = tomllib.loads(f"value = {value}")["value"]
    # Where dead letters go: a named file wins; otherwise the topic with Kafka as the source, a file in ./data without.
    if not settings["sink.dead_letters.file"] and not settings["sink.dead_letters.topic"]:
        on_kafka = settings["source.kind"] == "kafka"
        settings["sink.dead_letters.topic" if on_kafka else "sink.dead_letters.file"] = "view_events.dead" if on_kafka else "./data/dead.ndjson"
    if settings["source.kind"] not in ("kafka", "file"):
        parser.error(f"source.kind = {settings['source.kind']}: there is no log to recount")
    options.floors = [(str(partition), offset, floor) for partition, offset, floor in json.loads(options.floors)]
    options.lost = [(str(partition), first, last) for partition, first, last in json.loads(options.lost)]
    if options.until and options.until != "tables":
        words = options.until if options.until.lstrip().startswith("{") else Path(options.until).read_text()
        options.until = {str(partition): offset for partition, offset in json.loads(words).items()}
    return settings, options
