"""The independent recount that judges topk: reads the log, counts it by the written rules, and compares all that the job wrote.

    python3 tests/recount --config run.toml

Exit 0: everything was compared and nothing differs. 1: something differs. 2: something could not be read.
"""

import gc
import json
import sys
import time

import letters
from boards import BoardsError, RedisBoards
from compare import Comparison, Report
from count import FutureRule, Recount
from decode import Decoder
from log import FileLog, KafkaLog, LogError
from settings import arguments, duration
from tables import PostgresTables, SqliteTables, TablesError
from windows import text


class Unread(Exception):
    """Something that should have been compared was not."""


def open_tables(settings):
    prefix, key_column = settings["sink.postgres.table_prefix"], settings["sink.postgres.key_column"]
    if settings["sink.tables"] == "postgres":
        return PostgresTables(settings["sink.postgres.url"], settings["sink.postgres.schema"], prefix, key_column)
    if settings["sink.tables"] == "sqlite":
        return SqliteTables(settings["sink.sqlite.path"], prefix, key_column)
    raise Unread(f"sink.tables = {settings['sink.tables']}: there are no tables to compare")


def open_log(settings, until):
    if settings["source.kind"] == "file":
        return FileLog(settings["source.file.path"], until)
    return KafkaLog(settings["source.kafka.brokers"], settings["source.kafka.topic"], until)


def open_letters(settings):
    if settings["sink.dead_letters.file"]:
        return letters.from_file(settings["sink.dead_letters.file"])
    log = KafkaLog(settings["source.kafka.brokers"], settings["sink.dead_letters.topic"])
    return letters.from_topic(log, settings["source.kafka.topic"])


def recount(settings, options, tables, found):
    """Reads and counts the log: (log, result)."""
    until = options.until
    if until == "tables":
        until = {partition: offset for _, offsets, _ in tables.progress() for partition, offset in offsets.items()}
    refused = {letter.place for letter in found if letter.code == "time_future"}
    log = open_log(settings, until)
    counter = Recount(
        Decoder(settings["event.key"], settings["event.time"], settings["event.max_bytes"], settings["event.max_key_bytes"]),
        settings["time.zone"], settings["windows.tumbling"],
        duration(settings["time.out_of_orderness"]), duration(settings["time.allowed_lateness"]),
        FutureRule(duration(settings["time.max_future_skew"]), refused, options.started), options.floors, options.lost,
    )
    counter.add(log)
    return log, counter.finish()


def run(settings, options):
    """Compares everything: (report, summary)."""
    began = time.monotonic()
    report, tables = Report(options.show), open_tables(settings)
    found = list(open_letters(settings))
    log, result = recount(settings, options, tables, found)
    counted = time.monotonic()
    retention = {kind: duration(settings[f"retention.{kind}"]) for kind in result.kinds if kind != "all_time"}
    comparison = Comparison(result, report, retention, settings["topk.k"])
    comparison.progress(tables, log.edges)
    comparison.counts(tables)
    comparison.status(tables)
    comparison.top_k(tables)
    comparison.dead_letters(found)
    if not options.no_boards:
        if settings["sink.board"] != "redis":
            raise Unread(f"sink.board = {settings['sink.board']} cannot be read from outside: say --no-boards")
        boards = RedisBoards(settings["sink.redis.url"], settings["sink.redis.prefix"])
        now = int(time.time() * 1000)
        # Without a word about the start, the job is taken to be an hour old at most.
        comparison.boards(boards, settings["job.name"], now, options.started or now - 3_600_000)
    dead = {}
    for partition in result.partitions.values():
        for code, number in partition.dead.items():
            dead[code] = dead.get(code, 0) + number
    return report, {
        "consumed": sum(partition.consumed for partition in result.partitions.values()),
        "counted": sum(partition.counted for partition in result.partitions.values()),
        "late": result.late_by_kind(),
        "dead": dict(sorted(dead.items())),
        "time_future_believed": result.believed,
        "watermark": None if result.watermark is None else text(result.watermark),
        "compared": dict(report.compared),
        "differences": dict(report.differences),
        "seconds": {"count": round(counted - began, 1), "compare": round(time.monotonic() - counted, 1)},
    }


def main():
    settings, options = arguments()
    gc.disable()  # there are no cycles to collect, and looking for them among millions of rows takes half the time
    try:
        report, summary = run(settings, options)
    except (Unread, LogError, TablesError, BoardsError, OSError, ValueError) as error:
        print(f"recount: not all could be compared: {error}", file=sys.stderr)
        return 2
    if options.summary:
        with open(options.summary, "w") as file:
            json.dump(summary, file, indent=1)
    for line in report.lines:
        print(line)
    for name in ("consumed", "counted", "late", "dead", "time_future_believed", "watermark", "seconds"):
        print(f"{name:>20}  {summary[name]}")
    for name, compared in report.compared.items():
        print(f"{name:>20}  {compared} compared, {report.differences[name]} differ")
    total = sum(report.differences.values())
    print(f"{total} differences" if total else "no difference")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
