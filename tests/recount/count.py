"""Counts the log by the written rules (architecture, sections 4, 7 and 8): what must stand in every table and on every board.

The hot loop only adds (minute, late kinds) -> key -> n; windows are summed afterwards. Lateness is judged from the prefix of the
record's own partition, so nothing here depends on how partitions interleave.
"""

import heapq
import time as wall
from collections import Counter, defaultdict

from windows import MINUTE, Calendar


class Partition:
    """What is known of one partition."""

    def __init__(self):
        self.consumed = self.counted = 0
        self.greatest = None  # the greatest event time accepted
        self.dead = Counter()
        self.late = Counter()
        self.last_offset = -1

    @property
    def dead_lettered(self):
        return sum(self.dead.values())


class DeadLetter:
    """A record that must be in the dead letters, whole."""

    def __init__(self, code, key, value, headers):
        self.code, self.key, self.value, self.headers = code, key, value, headers


class FutureRule:
    """Decides `time_future`, the one code that depends on a wall clock.

    With LogAppendTime the reference is in the log and the rule is applied. Otherwise the reference was the clock of the job when it
    read: not before the record was produced (its own timestamp, or `started` for files) and not after now. An event time
    beyond now + skew must have been refused, one within the earliest reference + skew cannot have been. Between the two the
    dead letters are believed.
    """

    def __init__(self, skew, refused, started=0, now=None):
        self.skew, self.refused, self.started = skew, refused, started
        self.now = wall.time() * 1000 if now is None else now
        self.believed = 0

    def __call__(self, time, place, timestamp, log_append):
        if log_append:
            return time > timestamp + self.skew
        if time <= max(timestamp, self.started) + self.skew:
            return False
        if time > self.now + self.skew:
            return True
        self.believed += 1
        return place in self.refused


class Recount:
    """Adds records in the order of their partitions; `finish` sums the windows."""

    def __init__(self, decoder, zone, kinds, out_of_orderness, allowed_lateness, future, floors=(), lost=()):
        self.decoder, self.future = decoder, future
        self.calendar = Calendar(zone, kinds)
        self.kinds = self.calendar.kinds
        self.out_of_orderness, self.allowed_lateness = out_of_orderness, allowed_lateness
        self.floors = defaultdict(list)
        for partition, offset, floor in floors:  # granted by the journal to a partition that woke up
            self.floors[partition].append((offset, floor))
        self.lost = defaultdict(list)
        for partition, first, last in lost:  # accepted as lost before it was read: counts nowhere, even if it is there again
            self.lost[partition].append((first, last))
        self.partitions = defaultdict(Partition)
        self.dead = {}
        self.spans = {}
        self.cells = defaultdict(lambda: defaultdict(int))

    def add(self, records):
        decode, future, cells, spans = self.decoder.decode, self.future, self.cells, self.spans
        disorder, lateness, skew = self.out_of_orderness, self.allowed_lateness, self.future.skew
        partitions, floors, lost = self.partitions, self.floors, self.lost
        for partition, offset, timestamp, log_append, raw_key, value, headers in records:
            if lost and any(first <= offset <= last for first, last in lost.get(partition, ())):
                continue
            known = partitions[partition]
            if offset <= known.last_offset:
                raise ValueError(f"partition {partition}: offset {offset} came after {known.last_offset}")
            known.last_offset = offset
            known.consumed += 1
            key, time, code = decode(value, timestamp)
            if code is None and time > timestamp + skew and future(time, (partition, offset), timestamp, log_append):
                code = "time_future"
            if code is not None:
                known.dead[code] += 1
                self.dead[partition, offset] = DeadLetter(code, raw_key, value, headers)
                continue
            known.counted += 1
            minute = time // MINUTE
            late = ()
            if floors and partition in floors:
                for start, floor in floors[partition]:
                    if start <= offset and (known.greatest is None or known.greatest < floor + disorder):
                        known.greatest = floor + disorder
            greatest = known.greatest
            if greatest is None:
                known.greatest = time
            else:
                # No configured window ends before its minute does, so most records need no closer look.
                watermark = greatest - disorder
                if (minute + 1) * MINUTE + lateness <= watermark:
                    if minute not in spans:
                        spans[minute] = self.calendar.windows(minute)
                    late = tuple(kind for kind, (_, end) in enumerate(spans[minute]) if end + lateness <= watermark)
                    for kind in late:
                        known.late[kind] += 1
                if time > greatest:
                    known.greatest = time
            cells[minute, late][key] += 1

    def finish(self):
        return Result(self)


class Result:
    """The expected state: per kind, window start -> key -> views; ends, late figures, the ledger, dead letters, the watermark."""

    def __init__(self, recount):
        self.kinds, self.calendar = recount.kinds, recount.calendar
        self.allowed_lateness = recount.allowed_lateness
        self.partitions, self.dead = dict(recount.partitions), recount.dead
        self.believed = recount.future.believed
        self.lost = dict(recount.lost)
        self.counts = {kind: {} for kind in self.kinds}
        self.ends = {kind: {} for kind in self.kinds}
        self.late = {kind: Counter() for kind in self.kinds}
        self.watermarks = {
            partition: None if known.greatest is None else known.greatest - recount.out_of_orderness
            for partition, known in self.partitions.items()
        }
        waiting = any(watermark is None for watermark in self.watermarks.values())
        self.watermark = None if waiting or not self.watermarks else min(self.watermarks.values())
        for (minute, late), keys in sorted(recount.cells.items()):
            spans = recount.spans.get(minute) or self.calendar.windows(minute)
            for index, (kind, (start, end)) in enumerate(zip(self.kinds, spans)):
                self.ends[kind][start] = end
                if index in late:
                    self.late[kind][start] += sum(keys.values())
                    continue
                window = self.counts[kind].get(start)
                if window is None:
                    self.counts[kind][start] = dict(keys)
                else:
                    for key, views in keys.items():
                        window[key] = window.get(key, 0) + views

    def top(self, kind, start, k):
        """The k most viewed: views descending, then key ascending by bytes (which is the order of code points)."""
        return heapq.nsmallest(k, self.counts[kind][start].items(), key=lambda row: (-row[1], row[0]))

    def starts(self, kind):
        """Every window that had a view, counted or late."""
        return sorted(self.ends[kind])

    def late_by_kind(self):
        return {kind: sum(self.late[kind].values()) for kind in self.kinds}
