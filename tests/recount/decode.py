"""The contract's "Kafka event" section, written once more: from the bytes of a value to a key and an event time, or a dead-letter code.

Written from the contract's text, not from the Rust decoder, so that a misreading there is not repeated here.
"""

import json
import re
import sys
from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
LAST_MILLISECOND = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
DEEPEST = 127  # open brackets; the contract says "too deep" without a number, this is what serde_json allows

INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)

# An integer of any length is valid JSON; the limit would turn a long one into an error of another kind.
sys.set_int_max_str_digits(0)


def refuse_constant(name):
    """Python's json reads NaN and Infinity; the JSON standard does not know them."""
    raise ValueError(name)


parse = json.JSONDecoder(parse_constant=refuse_constant).decode


class Decoder:
    """Decodes values by the settings of [event]."""

    def __init__(self, key_names, time_names, max_bytes, max_key_bytes):
        self.key_names, self.time_names = tuple(key_names), tuple(time_names)
        self.max_bytes, self.max_key_bytes = max_bytes, max_key_bytes

    def decode(self, value, timestamp):
        """(key, event time in ms, None), or (None, None, code) for what cannot be counted whatever the clock says."""
        if value is None:
            return None, None, "null"
        if not value:
            return None, None, "empty"
        if len(value) > self.max_bytes:
            return None, None, "oversized"
        try:
            text = value.decode()
        except UnicodeDecodeError:
            return None, None, "not_utf8"
        try:
            if text.count("[") + text.count("{") > DEEPEST and depth(text) > DEEPEST:
                return None, None, "not_json"
            members = parse(text)
        except ValueError:
            return None, None, "not_json"
        if type(members) is not dict:
            return None, None, "not_object"

        for name in self.key_names:
            key = members.get(name)
            if key is not None:
                break
        else:
            key = None
        # A lone surrogate is no character: the text is not JSON of Unicode, whatever the other members hold.
        if type(key) is str and not key.isascii() and lone_surrogate(key):
            return None, None, "not_json"
        if key is None:
            return None, None, "key_missing"
        if type(key) is not str or not 1 <= utf8_length(key) <= self.max_key_bytes or "\0" in key:
            return None, None, "key_invalid"

        for name in self.time_names:
            time = members.get(name)
            if time is not None:
                break
        else:
            time = None
        if time is None:
            if timestamp < 0:
                return None, None, "time_missing"
            time = timestamp
        elif type(time) is str:
            time = instant(time)
        elif type(time) is not int:  # true and false are of another type
            time = None
        if time is None or not 0 <= time <= LAST_MILLISECOND:
            return None, None, "time_invalid"
        return key, time, None


def lone_surrogate(text):
    return any("\ud800" <= character <= "\udfff" for character in text)


def utf8_length(text):
    return len(text) if text.isascii() else len(text.encode())


def depth(text):
    """How deep arrays and objects stand within one another, brackets within strings not counted."""
    now = deepest = 0
    for token in BRACKETS.finditer(text):
        first = token.group()[0]
        if first in "[{":
            now += 1
            deepest = max(deepest, now)
        elif first in "]}":
            now -= 1
    return deepest


def instant(text):
    """The epoch milliseconds of an RFC 3339 text as the contract narrows it; None if it is none."""
    match = INSTANT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    offset = 0
    if sign:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:
            return None
        offset = (int(offset_hours) * 60 + int(offset_minutes)) * (-60_000 if sign == "-" else 60_000)
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=timezone.utc)
    except ValueError:
        return None
    milliseconds = int(((fraction or "") + "000")[:3])
    return (moment - EPOCH) // timedelta(milliseconds=1) + milliseconds - offset
