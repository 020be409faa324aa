"""Compares what the job wrote with what the recount expects, and names every difference.

Retention: a row is guaranteed while its window ends after W - retention; older rows may be gone, but if they are there they are right.
"""

import json
from collections import Counter, defaultdict

from decode import instant
from windows import KINDS, MINUS, state, text


class Report:
    """What was compared, by check; the first differences of each by name."""

    def __init__(self, show=20):
        self.show = show
        self.compared, self.differences = Counter(), Counter()
        self.lines = []

    def check(self, name, compared=0):
        """Opens a check, so that one that compared nothing is seen too."""
        self.compared[name] += compared

    def differs(self, name, what):
        self.differences[name] += 1
        if self.differences[name] <= self.show:
            self.lines.append(f"{name}: {what}")

    def equal(self, name, what, expected, found):
        self.compared[name] += 1
        if expected != found:
            self.differs(name, f"{what}: expected {short(expected)}, found {short(found)}")
            return False
        return True


def short(value):
    words = repr(value)
    return words if len(words) <= 200 else f"{words[:200]}… ({len(words)} characters)"


def window_name(kind, start):
    return kind if start == MINUS else f"{kind} {text(start)}"


class Comparison:
    """One result against tables, boards and dead letters. `retention` in ms by kind; None or absent is for ever."""

    def __init__(self, result, report, retention, k):
        self.result, self.report, self.retention, self.k = result, report, retention, k
        self.rankings = {}

    def kept(self, kind, end):
        """Whether the tables guarantee a window that ends then."""
        retention, watermark = self.retention.get(kind), self.result.watermark
        return retention is None or watermark is None or end > watermark - retention

    def expected_state(self, end):
        return state(end, self.result.allowed_lateness, self.result.watermark)

    def ranking(self, kind, start):
        if (kind, start) not in self.rankings:
            self.rankings[kind, start] = self.result.top(kind, start, self.k)
        return self.rankings[kind, start]

    def counts(self, tables):
        """Every row of every count table."""
        for kind in self.result.kinds:
            check, expected = f"counts {kind}", self.result.counts[kind]
            self.report.check(check)
            seen = defaultdict(set)
            for start, key, views in tables.counts(kind):
                keys = seen[start]
                found = expected.get(start, {}).get(key, 0)
                if found != views or key in keys:
                    what = f"{window_name(kind, start)} {key!r}"
                    self.report.differs(check, f"{what} is there twice" if key in keys else f"{what}: expected {found}, found {views}")
                keys.add(key)
            for start, window in expected.items():
                self.report.check(check, len(seen[start]))
                if len(seen[start]) < len(window) and self.kept(kind, self.result.ends[kind][start]):
                    for key in window.keys() - seen[start]:
                        self.report.differs(check, f"{window_name(kind, start)} {key!r}: expected {window[key]}, no row")

    def top_k(self, tables):
        """Every ranking of top_k_videos: each window that had a counted view, ranks from 1 without a hole."""
        check, found = "top_k_videos", defaultdict(list)
        self.report.check(check)
        for kind, region, start, end, rank, key, views in tables.top_k():
            if region != "" or kind not in self.result.kinds:
                self.report.differs(check, f"unknown ranking {kind!r} {region!r}")
                continue
            rows = found[kind, start]
            rows.append((key, views))
            if rank != len(rows):
                self.report.differs(check, f"{window_name(kind, start)}: rank {rank} stands at place {len(rows)}")
            if end != self.result.ends[kind].get(start):
                self.report.differs(check, f"{window_name(kind, start)}: its end is {end}")
        for kind in self.result.kinds:
            for start in self.result.counts[kind]:
                rows = found.pop((kind, start), None)
                if rows is None:
                    if self.kept(kind, self.result.ends[kind][start]):
                        self.report.differs(check, f"{window_name(kind, start)}: no ranking")
                    continue
                self.compare_ranking(check, kind, start, rows)
        for kind, start in found:
            self.report.differs(check, f"{window_name(kind, start)}: a ranking of a window without a view")

    def compare_ranking(self, check, kind, start, rows):
        expected = self.ranking(kind, start)
        self.report.check(check, len(expected))
        if rows != expected:
            at = next((at for at, pair in enumerate(zip(expected, rows)) if pair[0] != pair[1]), min(len(rows), len(expected)))
            self.report.differs(
                check,
                f"{window_name(kind, start)}: from rank {at + 1} expected {expected[at:at + 3]} of {len(expected)}, "
                f"found {rows[at:at + 3]} of {len(rows)}",
            )

    def status(self, tables):
        """Every row of window_status: bounds, state by W, views, videos and late views."""
        check, seen = "window_status", set()
        self.report.check(check)
        last_epoch = max((epoch for epoch, _, _ in tables.progress()), default=0)
        for kind, start, end, found_state, views, videos, late, epoch in tables.status():
            what = window_name(kind, start)
            if kind not in self.result.kinds or start not in self.result.ends[kind] or (kind, start) in seen:
                self.report.differs(check, f"{what}: a row too many")
                continue
            seen.add((kind, start))
            window = self.result.counts[kind].get(start, {})
            expected_end, expected_late = self.result.ends[kind][start], self.result.late[kind][start]
            # A late view is booked here only while its window is within retention.
            booked = late if late <= expected_late and not self.kept(kind, expected_end) else expected_late
            expected = expected_end, self.expected_state(expected_end), sum(window.values()), len(window), booked
            self.report.equal(check, f"{what} (end, state, views, videos, late)", expected, (end, found_state, views, videos, late))
            if not 0 < epoch <= last_epoch:
                self.report.differs(check, f"{what}: epoch {epoch} is not among those committed (last {last_epoch})")
        for kind in self.result.kinds:
            for start, end in self.result.ends[kind].items():
                if (kind, start) not in seen and self.kept(kind, end):
                    self.report.differs(check, f"{window_name(kind, start)}: no row")

    def progress(self, tables, edges):
        """topk_progress and topk_ledger: where each partition stands and what became of its records."""
        offsets, as_of = {}, []
        for _, part, watermark in tables.progress():
            offsets.update(part)
            as_of.append(watermark)
        self.report.check("topk_progress")
        for partition, edge in edges.items():
            next_offset = offsets.pop(partition, None)
            # Behind the last visible record there may be transaction markers, or blank lines.
            if next_offset is None and edge.last < 0:
                continue
            self.report.check("topk_progress", 1)
            if next_offset is None or not edge.last < next_offset <= max(edge.end, edge.begin):
                self.report.differs(
                    "topk_progress", f"partition {partition}: next offset {next_offset}, the last record is at {edge.last}, the end {edge.end}"
                )
        for partition in offsets:
            self.report.differs("topk_progress", f"partition {partition}: the log has no such partition")
        self.report.equal("topk_progress", "as_of of each shard", [self.result.watermark] * max(len(as_of), 1), as_of)
        found = {partition: tuple(numbers) for partition, *numbers in tables.ledger()}
        for partition in sorted(set(edges) | set(found)):
            known = self.result.partitions.get(partition)
            lost = sum(last - first + 1 for first, last in self.result.lost.get(partition, ()))
            expected = (known.consumed, known.counted, known.dead_lettered, lost) if known else (0, 0, 0, lost)
            what = f"partition {partition} (consumed, counted, dead-lettered, lost)"
            self.report.equal("topk_ledger", what, expected, found.get(partition, (0, 0, 0, 0)))

    def dead_letters(self, letters):
        """Every dead letter: each refused record exactly once, whole, under its code."""
        check, open_places = "dead letters", dict(self.result.dead)
        self.report.check(check)
        for letter in letters:
            if letter.wrong:
                self.report.differs(check, letter.wrong)
                continue
            expected = open_places.pop(letter.place, None)
            if expected is None:
                again = "is there twice" if letter.place in self.result.dead else "is no dead letter"
                self.report.differs(check, f"{letter.place} {again} ({letter.code})")
                continue
            record = expected.value, expected.key, tuple(expected.headers)
            kept = record[:len(letter.kept)]  # a file keeps the value only
            self.report.equal(check, str(letter.place), (expected.code, kept), (letter.code, letter.kept))
        for place, expected in open_places.items():
            self.report.differs(check, f"{place} is missing ({expected.code})")

    def boards(self, boards, job, now, started):
        """Every board and pointer. `now` and `started` in ms: a board lives for its retention after it was written."""
        check = "boards"
        self.report.check(check)
        expected = {}
        for kind in self.result.kinds:
            for start in self.result.counts[kind]:
                expected[f"{boards.prefix}:{kind}:{self.result.calendar.label(kind, start)}".encode()] = kind, start
        pointers = self.pointers(boards.prefix)
        windows = tuple(f"{boards.prefix}:{kind}:".encode() for kind in KINDS)
        for name in sorted(boards.names()):
            if name.startswith(windows) and name not in expected and name not in pointers:
                self.report.differs(check, f"{name.decode(errors='replace')} should not be there")
        for name, content, lives in boards.read(expected):
            kind, start = expected[name]
            retention = self.retention.get(kind)
            if content is None:
                if retention is None or now - started < retention:
                    self.report.differs(check, f"{name.decode()} is missing")
                continue
            self.report.check(check, 1)
            self.board(check, name.decode(), kind, start, content, job)
            if not (lives == -1 if retention is None else max(0, retention - (now - started) - 60_000) <= lives <= retention):
                self.report.differs(check, f"{name.decode()} lives for {lives} ms, the retention is {retention or 'for ever'}")
        for name, content, lives in boards.read(pointers):
            retention = self.retention.get(pointers[name][0])
            if content is None and retention is not None and now - started >= retention:
                continue
            self.report.equal("pointers", name.decode(), pointers[name][1], None if content is None else content.decode())

    def pointers(self, prefix):
        """Name -> (kind, expected content or None): the newest window with a view, the newest such that is no longer open."""
        pointers = {}
        for kind in self.result.kinds:
            starts = sorted(self.result.counts[kind])
            over = [start for start in starts if self.expected_state(self.result.ends[kind][start]) != "open"]
            for pointer, candidates in (("current", starts), ("closed", over)):
                label = self.result.calendar.label(kind, candidates[-1]) if candidates else None
                pointers[f"{prefix}:{kind}:{pointer}".encode()] = kind, label
        return pointers

    def board(self, check, name, kind, start, content, job):
        """One blob. Its as_of may be older than W if nothing changed since, but must give the same state."""
        try:
            blob = json.loads(content)
            rows = [(key, views) for key, views in blob["items"]]
            as_of = None if blob["as_of"] is None else instant(blob["as_of"])
            bounds = tuple(None if blob[side] in (None, "") else instant(blob[side]) for side in ("window_start", "window_end"))
            published = instant(blob["published_at"])
            found = {member: blob[member] for member in ("v", "job", "window", "state", "k", "total_views", "total_videos")}
            numbers = blob["generation"], blob["epoch"]
        except (ValueError, KeyError, TypeError) as error:
            self.report.differs(check, f"{name} is no blob of version 1 ({error!r}): {short(content)}")
            return
        end, window = self.result.ends[kind][start], self.result.counts[kind][start]
        expected = {
            "v": 1, "job": job, "window": kind, "state": self.expected_state(end), "k": self.k,
            "total_views": sum(window.values()), "total_videos": len(window),
        }
        self.report.equal(check, name, expected, found)
        if bounds != ((None, None) if start == MINUS else (start, end)):
            self.report.differs(check, f"{name}: its bounds are {blob['window_start']}, {blob['window_end']}")
        too_new = as_of is not None and (self.result.watermark is None or as_of > self.result.watermark)
        if too_new or state(end, self.result.allowed_lateness, as_of) != found["state"]:
            self.report.differs(check, f"{name}: state {found['state']} as of {blob['as_of']}, W is {self.result.watermark}")
        if published is None or not all(type(number) is int and number > 0 for number in numbers):
            self.report.differs(check, f"{name}: generation, epoch {numbers}, published at {blob['published_at']}")
        self.compare_ranking(check, kind, start, rows)
