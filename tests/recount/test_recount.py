"""The recount is itself tested: twenty events with expectations worked out by hand, and a wrong row of every kind must be noticed.

    python3 -m unittest discover -s tests/recount
"""

import base64
import io
import json
import sqlite3
import struct
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import letters
from compare import Comparison, Report
from count import FutureRule, Recount
from decode import Decoder, instant
from log import FileLog, LogError, frames
from tables import SqliteTables, Times, unescaped
from windows import MINUS, PLUS, Calendar

NOW = instant("2025-04-06T15:00:00Z")
# Adelaide has half hours: a day ends within an hour of UTC. And it set its clocks back on 6 April 2025: that day has 25 hours.
ZONE = "Australia/Adelaide"


def at(text):
    """Epoch ms of a time on 6 April 2025, UTC."""
    return instant(f"2025-04-06T{text}Z")


def view(key, time):
    return json.dumps({"video_id": key, "view_timestamp": time}).encode()


# (partition, offset, record timestamp, value); K = 4, out of order by 5 s, late after 60 s, at most 200 bytes.
EVENTS = [
    ("0", 0, NOW, view("a", at("14:00:10"))),
    ("0", 1, NOW, None),
    ("0", 2, NOW, b""),
    ("0", 3, NOW, view("x" * 200, at("14:00:00"))),
    ("0", 4, NOW, b'{"video_id":"\xff","view_timestamp":1}'),
    ("0", 5, NOW, b'{"video_id":"a","view_timestamp":NaN}'),
    ("0", 6, NOW, b'["video_id","a"]'),
    ("0", 7, NOW, b'{"video":"a","video_id":null,"view_timestamp":1}'),
    ("0", 8, NOW, b'{"video_id":"","videoId":"a","view_timestamp":1}'),
    ("0", 9, at("14:00:20"), b'{"videoId":"b"}'),  # counts at its record's timestamp
    ("0", 10, -1, b'{"videoId":"b","timestamp":null}'),
    ("0", 11, NOW, b'{"video_id":"a","view_timestamp":1743948010000.0}'),
    ("0", 12, NOW, view("a", instant("2400-01-01T00:00:00Z"))),
    ("0", 13, NOW, view("é", "2025-04-06T23:40:05.0009+09:30")),  # 14:10:05Z, W(p) = 14:10:00
    ("0", 14, NOW, view("a", at("14:08:59.999"))),  # late for its minute only: 14:09 + 60 s <= 14:10
    ("0", 15, NOW, view("a", at("14:09:00"))),  # not late
    ("0", 16, NOW, view("ü", at("14:32:00"))),  # W(p) = 14:31:55, and the next day in Adelaide
    ("0", 17, NOW, view("z", at("14:29:59.999"))),  # late for minute and day, not for the hour, which ends later
    ("1", 7, NOW, view("b", at("14:09:30"))),
    ("1", 9, NOW, view("B", at("14:09:40"))),  # W(p) = 14:09:35, the lesser, so W
]
DEAD = {
    1: "null", 2: "empty", 3: "oversized", 4: "not_utf8", 5: "not_json", 6: "not_object", 7: "key_missing", 8: "key_invalid",
    10: "time_missing", 11: "time_invalid", 12: "time_future",
}
DAY_6 = instant("2025-04-05T13:30:00Z"), at("14:30:00")
DAY_7 = at("14:30:00"), instant("2025-04-07T14:30:00Z")
APRIL = instant("2025-03-31T13:30:00Z"), instant("2025-04-30T14:30:00Z")
ALL_KEYS = {"a": 3, "b": 2, "B": 1, "z": 1, "é": 1, "ü": 1}
# kind, (start, end), board, state, late, counts, top 4
WINDOWS = [
    ("minute", (at("14:00:00"), at("14:01:00")), "2025-04-06T14:00", "final", 0, {"a": 1, "b": 1}, ["a", "b"]),
    ("minute", (at("14:08:00"), at("14:09:00")), None, "closed", 1, {}, []),
    ("minute", (at("14:09:00"), at("14:10:00")), "2025-04-06T14:09", "open", 0, {"a": 1, "b": 1, "B": 1}, ["B", "a", "b"]),
    ("minute", (at("14:10:00"), at("14:11:00")), "2025-04-06T14:10", "open", 0, {"é": 1}, ["é"]),
    ("minute", (at("14:29:00"), at("14:30:00")), None, "open", 1, {}, []),
    ("minute", (at("14:32:00"), at("14:33:00")), "2025-04-06T14:32", "open", 0, {"ü": 1}, ["ü"]),
    ("hour", (at("14:00:00"), at("15:00:00")), "2025-04-06T14:00", "open", 0, ALL_KEYS, ["a", "b", "B", "z"]),
    ("day", DAY_6, "2025-04-06", "open", 1, {"a": 3, "b": 2, "B": 1, "é": 1}, ["a", "b", "B", "é"]),
    ("day", DAY_7, "2025-04-07", "open", 0, {"ü": 1}, ["ü"]),
    ("month", APRIL, "2025-04", "open", 0, ALL_KEYS, ["a", "b", "B", "z"]),
    ("all_time", (MINUS, PLUS), "all", "open", 0, ALL_KEYS, ["a", "b", "B", "z"]),
]
POINTERS = {
    "minute:current": "2025-04-06T14:32", "minute:closed": "2025-04-06T14:00", "hour:current": "2025-04-06T14:00",
    "day:current": "2025-04-07", "month:current": "2025-04", "all_time:current": "all",
}
EDGE = type("Edge", (), {"__init__": lambda self, begin, end, last: vars(self).update(begin=begin, end=end, last=last)})
EDGES = {"0": EDGE(0, 18, 17), "1": EDGE(0, 11, 9), "2": EDGE(0, 0, -1)}  # behind partition 1's last record stands a marker
HOURS_48 = 48 * 3_600_000


def recounted(refused=()):
    counter = Recount(
        Decoder(["video_id", "videoId"], ["view_timestamp", "timestamp"], 200, 256), ZONE,
        ("minute", "hour", "day", "month", "all_time"), 5_000, 60_000, FutureRule(60_000, set(refused), now=NOW),
    )
    counter.add((partition, offset, stamp, False, b"k", value, ()) for partition, offset, stamp, value in EVENTS)
    return counter.finish()


class TwentyEvents(unittest.TestCase):
    def test_events_are_twenty(self):
        self.assertEqual(len(EVENTS), 20)

    def test_dead_letters(self):
        self.assertEqual({place: letter.code for place, letter in recounted().dead.items()}, {("0", o): c for o, c in DEAD.items()})

    def test_ledger(self):
        partitions = recounted().partitions
        self.assertEqual([(p.consumed, p.counted, p.dead_lettered) for p in partitions.values()], [(18, 7, 11), (2, 2, 0)])

    def test_watermark(self):
        self.assertEqual(recounted().watermark, at("14:09:35"))

    def test_windows(self):
        result = recounted()
        comparison = Comparison(result, Report(), {}, 4)
        found = [
            (
                kind, (start, result.ends[kind][start]),
                result.calendar.label(kind, start) if start in result.counts[kind] else None,
                comparison.expected_state(result.ends[kind][start]), result.late[kind][start], result.counts[kind].get(start, {}),
                [key for key, _ in result.top(kind, start, 4)] if start in result.counts[kind] else [],
            )
            for kind in result.kinds for start in result.starts(kind)
        ]
        self.assertEqual(found, WINDOWS)

    def test_counted_and_late_make_all_time(self):
        result = recounted()
        for kind in result.kinds:
            counted = sum(sum(window.values()) for window in result.counts[kind].values())
            self.assertEqual(counted + result.late_by_kind()[kind], 9, kind)


def written(folder):
    """What a faultless job would have written for EVENTS: the SQLite file, the dead letters, the boards. From the tables above only."""
    database = sqlite3.connect(Path(folder) / "topk.db", isolation_level=None)
    database.execute("PRAGMA synchronous = OFF")
    rfc = lambda time: "" if time in (MINUS, PLUS) else Calendar("UTC").local(time).strftime("%Y-%m-%dT%H:%M:%SZ")
    for kind in ("minute", "hour", "day", "month"):
        database.execute(f"CREATE TABLE video_views_{kind} (window_start, video_id, views)")
    database.execute("CREATE TABLE video_views_all_time (video_id, views)")
    database.execute("CREATE TABLE top_k_videos (period, region, start_time, end_time, rank, video_id, view_count)")
    database.execute('CREATE TABLE window_status ("window", window_start, window_end, state, views, videos, late, epoch)')
    database.execute("CREATE TABLE topk_progress (shard, generation, epoch, top_k_epoch, commit_hash, offsets, as_of, updated_at)")
    database.execute("CREATE TABLE topk_ledger (partition, consumed, counted, dead_lettered, lost)")
    boards = {f"topk:{pointer}": content.encode() for pointer, content in POINTERS.items()}
    for kind, (start, end), label, state, late, counts, top in WINDOWS:
        row = (kind, rfc(start), rfc(end), state, sum(counts.values()), len(counts), late, 3)
        database.execute("INSERT INTO window_status VALUES (?,?,?,?,?,?,?,?)", row)
        for key, views in counts.items():
            values = (key, views) if kind == "all_time" else (rfc(start), key, views)
            database.execute(f"INSERT INTO video_views_{kind} VALUES ({','.join('?' * len(values))})", values)
        for rank, key in enumerate(top, 1):
            database.execute("INSERT INTO top_k_videos VALUES (?,'',?,?,?,?,?)", (kind, rfc(start), rfc(end), rank, key, counts[key]))
        if counts:
            boards[f"topk:{kind}:{label}"] = json.dumps({
                "v": 1, "job": "video-views", "generation": 1, "epoch": 3, "window": kind,
                "window_start": rfc(start) or None, "window_end": rfc(end) or None, "state": state, "as_of": "2025-04-06T14:09:35Z",
                "published_at": "2025-04-06T15:00:00.123Z", "k": 4, "total_views": sum(counts.values()), "total_videos": len(counts),
                "items": [[key, counts[key]] for key in top],
            }).encode()
    offsets = json.dumps({"0": 18, "1": 10})
    database.execute("INSERT INTO topk_progress VALUES (0, 1, 4, 4, 'h', ?, '2025-04-06T14:09:35Z', '')", (offsets,))
    database.execute("INSERT INTO topk_ledger VALUES ('0', 18, 7, 11, 0), ('1', 2, 2, 0, 0)")
    values = {offset: value for partition, offset, _, value in EVENTS if partition == "0"}
    lines = []
    for offset, code in DEAD.items():
        encoded = None if values[offset] is None else base64.b64encode(values[offset]).decode()
        lines.append({"error": code, "detail": "…", "source": "f", "partition": "0", "offset": offset, "epoch": 2, "value_base64": encoded})
    return database, lines, boards


class FakeBoards:
    prefix = "topk"

    def __init__(self, contents):
        self.contents = contents

    def names(self):
        return {name.encode() for name in self.contents} | {b"topk:status", b"topk:owner"}

    def read(self, names):
        for name in names:
            forever = name.decode().split(":")[1] in ("month", "all_time")
            yield name, self.contents.get(name.decode()), -1 if forever else HOURS_48


def compared(change=lambda database, lines, boards: None, retention=HOURS_48):
    """Differences by check, after `change` has spoilt what was written."""
    with tempfile.TemporaryDirectory() as folder:
        database, lines, boards = written(folder)
        change(database, lines, boards)
        database.close()
        dead = Path(folder) / "dead.ndjson"
        dead.write_text("".join(json.dumps(line) + "\n" for line in lines))
        result, report = recounted(), Report()
        comparison = Comparison(result, report, {"minute": retention, "hour": HOURS_48, "day": HOURS_48, "month": None}, 4)
        tables = SqliteTables(Path(folder) / "topk.db", "video_views", "video_id")
        comparison.progress(tables, EDGES)
        comparison.counts(tables)
        comparison.status(tables)
        comparison.top_k(tables)
        comparison.dead_letters(letters.from_file(dead))
        comparison.boards(FakeBoards(boards), "video-views", NOW, NOW)
        return dict(report.differences), report


def sql(statement):
    return lambda database, lines, boards: database.execute(statement)


def blob(name, **members):
    def change(database, lines, boards):
        boards[name] = json.dumps({**json.loads(boards[name]), **members}).encode()
    return change


class Differences(unittest.TestCase):
    def test_nothing_differs(self):
        differences, report = compared()
        self.assertEqual(differences, {}, report.lines)
        self.assertEqual(report.compared["counts minute"], 7)
        self.assertEqual(report.compared["dead letters"], 11)

    def test_each_wrong_row_is_noticed(self):
        minute = "window_start = '2025-04-06T14:00:00Z'"
        wrong = [
            ("counts minute", sql(f"UPDATE video_views_minute SET views = 2 WHERE {minute} AND video_id = 'a'")),
            ("counts minute", sql(f"DELETE FROM video_views_minute WHERE {minute} AND video_id = 'a'")),
            ("counts minute", sql("INSERT INTO video_views_minute VALUES ('2025-04-06T14:08:00Z', 'a', 1)")),
            ("counts minute", sql(f"INSERT INTO video_views_minute SELECT * FROM video_views_minute WHERE {minute}")),
            ("counts day", sql("UPDATE video_views_day SET window_start = '2025-04-05T14:30:00Z' WHERE video_id = 'a'")),
            ("counts all_time", sql("DELETE FROM video_views_all_time WHERE video_id = 'ü'")),
            ("top_k_videos", sql("UPDATE top_k_videos SET rank = 7 - rank WHERE period = 'hour' AND rank > 2")),
            ("top_k_videos", sql("DELETE FROM top_k_videos WHERE period = 'month'")),
            ("top_k_videos", sql("DELETE FROM top_k_videos WHERE period = 'month' AND rank = 4")),
            ("top_k_videos", sql("UPDATE top_k_videos SET end_time = start_time WHERE period = 'hour'")),
            ("top_k_videos", sql("INSERT INTO top_k_videos SELECT period, 'NA', start_time, end_time, rank, video_id, 1 FROM top_k_videos")),
            ("window_status", sql("UPDATE window_status SET late = 0 WHERE state = 'closed'")),
            ("window_status", sql("UPDATE window_status SET state = 'open' WHERE state = 'final'")),
            ("window_status", sql("UPDATE window_status SET videos = 5 WHERE \"window\" = 'hour'")),
            ("window_status", sql("UPDATE window_status SET window_end = '2025-04-06T13:30:00Z' WHERE \"window\" = 'day' AND late = 1")),
            ("window_status", sql("DELETE FROM window_status WHERE views = 0")),
            ("window_status", sql("UPDATE window_status SET epoch = 5")),
            ("topk_progress", sql("UPDATE topk_progress SET offsets = '{\"0\":17,\"1\":10}'")),
            ("topk_progress", sql("UPDATE topk_progress SET offsets = '{\"0\":18}'")),
            ("topk_progress", sql("UPDATE topk_progress SET as_of = '2025-04-06T14:09:36Z'")),
            ("topk_progress", sql("DELETE FROM topk_progress")),
            ("topk_ledger", sql("UPDATE topk_ledger SET dead_lettered = 10")),
            ("topk_ledger", sql("UPDATE topk_ledger SET lost = 1 WHERE partition = '1'")),
            ("topk_ledger", sql("DELETE FROM topk_ledger WHERE partition = '1'")),
            ("dead letters", lambda database, lines, boards: lines.pop()),
            ("dead letters", lambda database, lines, boards: lines.append(lines[0])),
            ("dead letters", lambda database, lines, boards: lines[0].update(error="empty")),
            ("dead letters", lambda database, lines, boards: lines[3].update(value_base64="")),
            ("dead letters", lambda database, lines, boards: lines[3].update(offset=0)),
            ("dead letters", lambda database, lines, boards: lines[3].pop("source")),
            ("boards", lambda database, lines, boards: boards.pop("topk:minute:2025-04-06T14:00")),
            ("boards", lambda database, lines, boards: boards.update({"topk:minute:2025-04-06T14:08": b"{}"})),
            ("boards", lambda database, lines, boards: boards.update({"topk:all_time:all": b"{}"})),
            ("boards", blob("topk:hour:2025-04-06T14:00", state="closed")),
            ("boards", blob("topk:hour:2025-04-06T14:00", total_views=8)),
            ("boards", blob("topk:hour:2025-04-06T14:00", items=[["a", 3], ["b", 2], ["B", 1], ["é", 1]])),
            ("boards", blob("topk:minute:2025-04-06T14:00", as_of="2025-04-06T14:01:30Z")),
            ("boards", blob("topk:day:2025-04-06", window_end="2025-04-06T13:30:00Z")),
            ("pointers", lambda database, lines, boards: boards.update({"topk:minute:closed": b"2025-04-06T14:08"})),
            ("pointers", lambda database, lines, boards: boards.update({"topk:day:current": b"2025-04-06"})),
            ("pointers", lambda database, lines, boards: boards.pop("topk:hour:current")),
        ]
        for number, (check, change) in enumerate(wrong):
            with self.subTest(number=number, check=check):
                self.assertIn(check, compared(change)[0])

    def test_rows_beyond_retention_may_be_gone_but_not_wrong(self):
        five_minutes = 5 * 60_000  # W = 14:09:35, so 14:00 has expired and 14:08 has not
        gone = "DELETE FROM {} WHERE {} = '2025-04-06T14:00:00Z'"

        def without(database, lines, boards):
            database.execute(gone.format("video_views_minute", "window_start"))
            database.execute(gone.format("window_status", "window_start") + " AND \"window\" = 'minute'")
            database.execute(gone.format("top_k_videos", "start_time") + " AND period = 'minute'")

        def tables_only(differences):
            return {check for check in differences if check not in ("boards", "pointers")}

        self.assertEqual(tables_only(compared(without, five_minutes)[0]), set())
        self.assertEqual(tables_only(compared(without)[0]), {"counts minute", "window_status", "top_k_videos"})
        wrong = sql("UPDATE video_views_minute SET views = 9 WHERE window_start = '2025-04-06T14:00:00Z'")
        self.assertEqual(tables_only(compared(wrong, five_minutes)[0]), {"counts minute"})


class Decoding(unittest.TestCase):
    decoder = Decoder(["video_id", "videoId"], ["view_timestamp", "timestamp"], 65536, 256)

    def test_forms_of_time(self):
        self.assertEqual(instant("1970-01-01T00:00:00Z"), 0)
        self.assertEqual(instant("2025-10-19T16:00:00.0129+02:00"), 1760882400012)
        for wrong in ("2025-10-19t14:00:00Z", "2025-10-19T14:00:60Z", "2025-10-19T14:00:00", "2025-10-19 14:00:00Z", "2025-02-29T00:00:00Z",
                      "2025-10-19T14:00:00.Z", "2025-10-19T14:00:00+24:00", "2025-10-19T14:00:00+0200", "２025-10-19T14:00:00Z"):
            self.assertIsNone(instant(wrong), wrong)

    def test_members(self):
        self.assertEqual(self.decoder.decode(b'{"video_id":"x","video_id":null,"videoId":"y","timestamp":5}', -1), ("y", 5, None))
        self.assertEqual(self.decoder.decode(b'{"view_timestamp":true,"timestamp":5,"video_id":"x"}', -1)[2], "time_invalid")
        self.assertEqual(self.decoder.decode(b'{"video_id":"\\ud83d\\ude00","timestamp":5}', -1), ("\U0001f600", 5, None))
        self.assertEqual(self.decoder.decode(b'{"video_id":"\\ud83d","timestamp":5}', -1)[2], "not_json")
        self.assertEqual(self.decoder.decode(b'{"a":"[[{","video_id":"x","timestamp":5}', -1), ("x", 5, None))
        self.assertEqual(self.decoder.decode(b'{"a":"' + b"[" * 500 + b'","video_id":"x","timestamp":5}', -1), ("x", 5, None))

    def test_clock(self):
        rule = FutureRule(60_000, {("0", 5)}, now=1_000_000)
        self.assertTrue(rule(160_001, ("0", 1), 100_000, True))
        self.assertFalse(rule(160_000, ("0", 5), 100_000, True))
        self.assertFalse(rule(160_000, ("0", 5), 100_000, False))  # it was produced later than that, whatever the dead letters say
        self.assertTrue(rule(1_060_001, ("0", 1), 100_000, False))  # even now it is too far ahead
        self.assertEqual((rule(500_000, ("0", 5), 100_000, False), rule(500_000, ("0", 6), 100_000, False)), (True, False))


class Calendars(unittest.TestCase):
    def span(self, zone, kind, time):
        calendar = Calendar(zone, (kind,))
        [(start, end)] = calendar.windows(instant(time) // 60_000)
        return start, end, calendar.label(kind, start)

    def test_days(self):
        for zone, time, start, end, label in [
            ("Asia/Kolkata", "2025-10-19T18:29:59Z", "2025-10-18T18:30:00Z", "2025-10-19T18:30:00Z", "2025-10-19"),
            ("Europe/Zurich", "2025-03-30T12:00:00Z", "2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z", "2025-03-30"),
            ("America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z", "2018-11-04"),  # no midnight
            ("America/Havana", "2024-11-03T04:30:00Z", "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z", "2024-11-03"),  # midnight twice
            ("Pacific/Apia", "2011-12-30T09:59:00Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-29"),
            ("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z", "2011-12-31"),  # the 30th never was
            ("Europe/Zurich", "9999-12-31T22:59:00Z", "9999-12-30T23:00:00Z", "9999-12-31T23:00:00Z", "9999-12-31"),
        ]:
            with self.subTest(zone=zone, time=time):
                self.assertEqual(self.span(zone, "day", time), (instant(start), instant(end), label))

    def test_months(self):
        expected = instant("2024-01-31T23:00:00Z"), instant("2024-02-29T23:00:00Z"), "2024-02"
        self.assertEqual(self.span("Europe/Zurich", "month", "2024-02-29T22:59:59Z"), expected)

    def test_windows_tile_time(self):
        for zone in ("America/St_Johns", "Africa/Casablanca", "Asia/Gaza"):  # clocks changed at a minute past midnight, or often
            calendar, end = Calendar(zone, ("day",)), None
            for day in range(365 * 5):
                time = instant("2006-01-01T12:00:00Z") + day * 86_400_000
                [(start, after)] = calendar.windows(time // 60_000)
                self.assertTrue(start <= time < after, (zone, day))
                self.assertIn(end, (None, start, after), (zone, day))
                end = after


class Reading(unittest.TestCase):
    FRAMES = (
        b"P" + struct.pack(">iqqq", 3, 0, 9, 7)
        + b"R" + struct.pack(">iqqbiii", 3, 5, 1000, 0, 0, 1, 3) + b"k" + b"a\nb"
        + b"R" + struct.pack(">iqqbiii", 3, 6, 1001, 1, 2, -1, 0)
        + struct.pack(">ii", 1, -1) + b"h" + struct.pack(">ii", 2, 3) + b"h2" + b"\xff\x00R"
        + b"R" + struct.pack(">iqqbiii", 3, 7, -1, 0, 0, 0, -1) + b"E"
    )

    def test_frames_survive_any_cut(self):
        expected = [
            ("3", 5, 1000, False, b"k", b"a\nb", ()),
            ("3", 6, 1001, True, None, b"", ((b"h", None), (b"h2", b"\xff\x00R"))),
            ("3", 7, -1, False, b"", None, ()),
        ]
        for chunk in range(1, len(self.FRAMES) + 1):
            edges = {}
            self.assertEqual(list(frames(io.BytesIO(self.FRAMES), edges, chunk)), expected, chunk)
            self.assertEqual(vars(edges["3"]), {"begin": 0, "end": 9, "last": 7})

    def test_a_cut_stream_is_noticed(self):
        def ended(stream):
            return (yield from frames(stream, {}))

        for length in range(len(self.FRAMES)):
            with self.subTest(length=length):
                reading = ended(io.BytesIO(self.FRAMES[:length]))
                with self.assertRaises(StopIteration) as stop:
                    while True:
                        next(reading)
                self.assertFalse(stop.exception.value)
        with self.assertRaises(LogError):
            list(frames(io.BytesIO(b"WARN something"), {}))

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "b.ndjson").write_bytes(b"one\n \t\r\n\ntwo\r\nlast")
            Path(folder, ".hidden").write_bytes(b"no\n")
            Path(folder, "empty").write_bytes(b"")
            log = FileLog(folder)
            self.assertEqual([(name, offset, value) for name, offset, _, _, _, value, _ in log],
                             [("b.ndjson", 0, b"one"), ("b.ndjson", 9, b"two\r"), ("b.ndjson", 14, b"last")])
            self.assertEqual({name: (edge.end, edge.last) for name, edge in log.edges.items()}, {"b.ndjson": (18, 14), "empty": (0, -1)})

    def test_text_of_postgres(self):
        times = Times(MINUS)
        self.assertEqual([times["2025-04-06 14:00:00+00"], times["2025-04-06 14:00:00.5+00"], times["-infinity"]],
                         [at("14:00:00"), at("14:00:00.500"), MINUS])
        self.assertEqual([unescaped("a\\tb\\\\n"), unescaped("\\N"), unescaped("\\n")], ["a\tb\\n", None, "\n"])

    def test_letters_of_a_topic(self):
        added = ((b"topk.error", b"null"), (b"topk.detail", "warum".encode()), (b"topk.topic", b"views"), (b"topk.partition", b"3"),
                 (b"topk.offset", b"12"), (b"topk.epoch", b"4"))
        own = ((b"topk.error", b"from an earlier life"),)
        log = type("Log", (list,), {"topic": "dead"})
        [good] = letters.from_topic(log([("0", 0, 1, False, b"k", None, own + added)]), "views")
        self.assertEqual((good.place, good.code, good.epoch, good.kept, good.wrong), (("3", 12), "null", 4, (None, b"k", own), None))
        for wrong in (added[:-1], added[::-1], added[:4] + ((b"topk.offset", b"012"),) + added[5:], added[:2] + ((b"topk.topic", b"x"),) + added[3:]):
            [bad] = letters.from_topic(log([("0", 0, 1, False, b"k", None, wrong)]), "views")
            self.assertIsNotNone(bad.wrong)


if __name__ == "__main__":
    unittest.main()
