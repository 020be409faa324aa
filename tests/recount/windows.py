"""The five tumbling windows: which [start, end) an event time falls into, and how a window is called on a board.

minute and hour are UTC instants; day and month are calendar windows in the job's zone, so a day may have 23 or 25 hours.
Times are epoch milliseconds. all_time starts at MINUS and ends at PLUS, which compare as infinities do.
"""

from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

KINDS = ("minute", "hour", "day", "month", "all_time")
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
MINUS, PLUS = float("-inf"), float("inf")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# The calendar, and every zone's rules for the far future, repeat after 400 years; Python's own calendar ends with 9999.
CYCLE_YEARS, CYCLE = 400, 146_097 * DAY
FAR = (datetime(9000, 1, 1, tzinfo=timezone.utc) - EPOCH) // timedelta(milliseconds=1)


def milliseconds(moment):
    return (moment - EPOCH) // timedelta(milliseconds=1)


class Calendar:
    """The windows of one zone."""

    def __init__(self, zone, kinds=KINDS):
        self.zone = ZoneInfo(zone)
        self.kinds = tuple(kind for kind in KINDS if kind in kinds)
        self.first_instant = lru_cache(None)(self._first_instant)
        self.day = lru_cache(4096)(self._day)
        self.month = lru_cache(4096)(self._month)

    def local(self, time):
        moment = (EPOCH + timedelta(milliseconds=time)).astimezone(self.zone)
        if moment.utcoffset().total_seconds() % 60:
            raise ValueError(f"{self.zone.key} has an offset of {moment.utcoffset()} at {moment.isoformat()}: the job refuses it")
        return moment

    def windows(self, minute):
        """For the minute with this number, (start, end) by configured kind. No calendar window begins within a minute."""
        time = minute * MINUTE
        spans = []
        for kind in self.kinds:
            if kind == "minute":
                spans.append((time, time + MINUTE))
            elif kind == "hour":
                start = time // HOUR * HOUR
                spans.append((start, start + HOUR))
            elif kind == "all_time":
                spans.append((MINUS, PLUS))
            elif time >= FAR:
                start, end = getattr(self, kind)(time - CYCLE)
                spans.append((start + CYCLE, end + CYCLE))
            else:
                spans.append(getattr(self, kind)(time))
        return spans

    def _day(self, time):
        today = self.local(time).date()
        return self._between(time, today, lambda day, step: day + timedelta(days=step))

    def _month(self, time):
        this = self.local(time).date().replace(day=1)
        return self._between(time, this, lambda first, step: (first + timedelta(days=31 if step > 0 else -1)).replace(day=1))

    def _between(self, time, at, move):
        """The span of the calendar unit around time. A clock set back over midnight puts an instant into the unit after its date."""
        while self.first_instant(at) > time:
            at = move(at, -1)
        following = move(at, 1)
        while self.first_instant(following) <= time:
            at, following = following, move(following, 1)
        return self.first_instant(at), self.first_instant(following)

    def _first_instant(self, day):
        """The first instant at which the zone's calendar shows this date or a later one (a date can be skipped whole)."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        time = milliseconds(midnight)
        local = self.local(time)
        if local.replace(tzinfo=None) == midnight.replace(tzinfo=None):
            return time
        # Midnight was skipped. fold=0 took the offset before the jump, so the jump is not later than `time`.
        low, high = (time - 2 * DAY) // MINUTE, time // MINUTE
        while low < high:
            middle = (low + high) // 2
            if self.local(middle * MINUTE).date() >= day:
                high = middle
            else:
                low = middle + 1
        return low * MINUTE

    def label(self, kind, start):
        """The {start} of a board's name."""
        if kind == "all_time":
            return "all"
        if kind in ("minute", "hour"):
            return (EPOCH + timedelta(milliseconds=start)).strftime("%Y-%m-%dT%H:%M")
        if start >= FAR:
            year, rest = self.label(kind, start - CYCLE).split("-", 1)
            return f"{int(year) + CYCLE_YEARS}-{rest}"
        first = self.local(start).date()
        return first.isoformat() if kind == "day" else first.isoformat()[:7]


def state(end, lateness, watermark):
    """open, closed or final, by the job's watermark (None: undefined)."""
    if watermark is None or end > watermark:
        return "open"
    return "closed" if end + lateness > watermark else "final"


def text(time):
    """RFC 3339 in UTC, as boards and SQLite hold it."""
    if time == MINUS or time == PLUS:
        return ""
    moment = EPOCH + timedelta(milliseconds=time)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{moment.microsecond // 1000:03}" if moment.microsecond else "") + "Z"
