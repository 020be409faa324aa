"""Reads the dead letters that the job wrote, from their topic or from their NDJSON file, and says what is malformed in one."""

import base64
import json
from pathlib import Path

ADDED = [b"topk.error", b"topk.detail", b"topk.topic", b"topk.partition", b"topk.offset", b"topk.epoch"]
MEMBERS = ["error", "detail", "source", "partition", "offset", "epoch", "value_base64"]


class Letter:
    """One dead letter: where its record stood, why it was refused, and what was kept of it: (value,) or (value, key, headers)."""

    def __init__(self, place, code, epoch, kept, wrong=None):
        self.place, self.code, self.epoch, self.kept, self.wrong = place, code, epoch, kept, wrong


def from_topic(log, source_topic):
    """The letters of a topic; `log` yields its records."""
    for partition, offset, _, _, key, value, headers in log:
        here = f"{log.topic}-{partition} at {offset}"
        own, added = headers[:-len(ADDED)], dict(headers[-len(ADDED):])
        try:
            if [name for name, _ in headers[-len(ADDED):]] != ADDED:
                raise ValueError(f"its last headers are {[name.decode() for name, _ in headers]}")
            if added[b"topk.topic"] != source_topic.encode():
                raise ValueError(f"its topic is {added[b'topk.topic']!r}")
            place = added[b"topk.partition"].decode(), decimal(added[b"topk.offset"])
            decimal(added[b"topk.partition"])
            added[b"topk.detail"].decode()
            yield Letter(place, added[b"topk.error"].decode(), decimal(added[b"topk.epoch"]), (value, key, own))
        except (ValueError, AttributeError) as error:
            yield Letter(None, None, None, (value, key, headers), f"{here}: {error}")


def decimal(ascii_digits):
    """A number as its shortest decimal ASCII."""
    number = int(ascii_digits)
    if ascii_digits != b"%d" % number:
        raise ValueError(f"{ascii_digits!r} is no decimal number")
    return number


def from_file(path):
    """The letters of a file. No file means that there were none."""
    path = Path(path)
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    if lines.pop():
        yield Letter(None, None, None, (), f"{path}: the last line is not ended")
    for number, line in enumerate(lines, 1):
        try:
            letter = json.loads(line)
            missing = [member for member in MEMBERS if member not in letter]
            if missing:
                raise ValueError(f"members {missing} are missing")
            if type(letter["offset"]) is not int or type(letter["epoch"]) is not int or type(letter["detail"]) is not str:
                raise ValueError("offset, epoch or detail is of another type")
            value = letter["value_base64"]
            value = None if value is None else base64.b64decode(value, validate=True)
            yield Letter((letter["partition"], letter["offset"]), letter["error"], letter["epoch"], (value,))
        except (ValueError, TypeError) as error:
            yield Letter(None, None, None, (), f"{path}, line {number}: {error}")
