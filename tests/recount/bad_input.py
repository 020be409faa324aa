"""One stream with bad input of every kind: each value with the dead-letter code, or the event, that the contract gives it.

    python3 tests/recount/bad_input.py --cases           JSON lines {"name", "value_base64" (null: no value), "expect"}
    python3 tests/recount/bad_input.py --file FILE       the same values as NDJSON, and what each byte offset must become
    python3 tests/recount/bad_input.py --kafka TOPIC     sends them to TOPIC by Kafka's Java producer (--brokers)

`expect` is {"code": …} or {"key": …, "time": ms}; "time": "record" means the transport's timestamp, and a file has none, so there
it is {"code": "time_missing"}. What the contract leaves open (a lone surrogate outside the key, depths between 100 and 1000) is not here.
The settings are the defaults: max_bytes 65536, max_key_bytes 256.
"""

import argparse
import base64
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

MAX_BYTES, MAX_KEY_BYTES = 65536, 256
TIME = 1_760_882_400_000  # 2025-10-19T14:00:00Z
DEEP = 100_000


def event(key="v1", time=TIME):
    return {"key": key, "time": time}


def code(name):
    return {"code": name}


def view(members):
    return b"{" + members + b"}"


def keyed(key):
    """A view whose key is this JSON text."""
    return view(b'"video_id":' + key + b',"view_timestamp":%d' % TIME)


def timed(time):
    """A view whose time is this JSON text."""
    return view(b'"video_id":"v1","view_timestamp":' + time)


def padded(length):
    """A good view of exactly this many bytes."""
    start = b'{"video_id":"v1","view_timestamp":%d,"pad":"' % TIME
    return start + b"x" * (length - len(start) - 2) + b'"}'


def nested(open_bracket, middle, close_bracket, depth):
    return open_bracket * depth + middle + close_bracket * depth


GOOD = [
    ("plain", keyed(b'"v1"'), event()),
    ("spaces around", b' \t\r{ "video_id" : "v1" , "view_timestamp" : %d } ' % TIME, event()),
    ("other members", view(b'"a":[1,-0.5e-3,true,null,{"b":"\\u00e9\\n"}],"video_id":"v1","view_timestamp":%d' % TIME), event()),
    ("second names", view(b'"videoId":"v2","timestamp":%d' % TIME), event("v2")),
    ("null falls through", view(b'"video_id":null,"videoId":"v2","view_timestamp":null,"timestamp":%d' % TIME), event("v2")),
    ("first name decides", view(b'"videoId":"v2","video_id":"v1","timestamp":1,"view_timestamp":%d' % TIME), event()),
    ("last key of three", view(b'"video_id":"a","video_id":7,"video_id":"v1","view_timestamp":%d' % TIME), event()),
    ("last time of two", view(b'"video_id":"v1","view_timestamp":"no","view_timestamp":%d' % TIME), event()),
    ("a repeated member ends in null", view(b'"video_id":"a","video_id":null,"videoId":"v1","view_timestamp":%d' % TIME), event()),
    ("escaped name", view(b'"video\\u005fid":"v1","view_timestamp":%d' % TIME), event()),
    ("name in another case is unknown", view(b'"Video_id":"a","video_id":"v1","view_timestamp":%d' % TIME), event()),
    ("key not trimmed", keyed(b'" v1 "'), event(" v1 ")),
    ("key of a space", keyed(b'" "'), event(" ")),
    ("key of one byte", keyed(b'"v"'), event("v")),
    ("key of 256 bytes", keyed(b'"' + b"k" * MAX_KEY_BYTES + b'"'), event("k" * MAX_KEY_BYTES)),
    ("key of 256 bytes in 128 characters", keyed('"{}"'.format("é" * 128).encode()), event("é" * 128)),
    ("key with escapes", keyed(b'"a\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"'), event('a"\\/\b\f\n\r\té')),
    ("key beyond the basic plane", keyed(b'"\\ud83d\\ude00"'), event("\U0001f600")),
    ("key beyond the basic plane, unescaped", keyed("\"\U0001f600\"".encode()), event("\U0001f600")),
    ("key not normalised", keyed('"e\u0301"'.encode()), event("e\u0301")),
    ("key with a line separator", keyed('"a\u2028b"'.encode()), event("a\u2028b")),
    ("key with U+0001", keyed(b'"a\\u0001"'), event("a\u0001")),
    ("key with DEL and U+FFFF", keyed('"\u007f\uffff"'.encode()), event("\u007f\uffff")),
    ("key that looks like SQL", keyed(b'"\'; DROP TABLE video_views_minute; --"'), event("'; DROP TABLE video_views_minute; --")),
    ("key that looks like COPY's end", keyed(b'"\\\\."'), event("\\.")),
    ("key that looks like COPY's null", keyed(b'"\\\\N"'), event("\\N")),
    ("key with Redis' separators", keyed(b'"a:b {c} *\\r\\n$3"'), event("a:b {c} *\r\n$3")),
    ("numbers beyond i64 elsewhere", view(b'"n":123456789012345678901234567890,"video_id":"v1","view_timestamp":%d' % TIME), event()),
    ("1e400 elsewhere", view(b'"n":1e400,"m":-1E+999,"video_id":"v1","view_timestamp":%d' % TIME), event()),
    ("a number of 5000 digits elsewhere", view(b'"n":' + b"9" * 5000 + b',"video_id":"v1","view_timestamp":%d' % TIME), event()),
    ("100 brackets", view(b'"n":' + nested(b"[", b"", b"]", 99) + b',"video_id":"v1","view_timestamp":%d' % TIME), event()),
    ("brackets within a string", view(b'"n":"' + b"[{" * 5000 + b'","video_id":"v1","view_timestamp":%d' % TIME), event()),
    ("exactly max_bytes", padded(MAX_BYTES), event()),
    ("epoch", timed(b"0"), event(time=0)),
    ("epoch as text", timed(b'"1970-01-01T00:00:00Z"'), event(time=0)),
    ("text", timed(b'"2025-10-19T14:00:00Z"'), event()),
    ("text with an offset", timed(b'"2025-10-19T19:30:00+05:30"'), event()),
    ("text with a negative offset", timed(b'"2025-10-19T10:30:00-03:30"'), event()),
    ("text with -00:00", timed(b'"2025-10-19T14:00:00-00:00"'), event()),
    ("tenths", timed(b'"2025-10-19T14:00:00.5Z"'), event(time=TIME + 500)),
    ("nanoseconds are cut off", timed(b'"2025-10-19T14:00:00.123999999Z"'), event(time=TIME + 123)),
    ("thirty digits of a second", timed(b'"2025-10-19T14:00:00.' + b"9" * 30 + b'Z"'), event(time=TIME + 999)),
    ("an escape within the text", timed(b'"2025-10-19T14\\u003a00:00Z"'), event()),
    ("29 February", timed(b'"2024-02-29T00:00:00Z"'), event(time=1_709_164_800_000)),
    ("the offset brings 1969 into 1970", timed(b'"1969-12-31T23:30:00-01:00"'), event(time=1_800_000)),
    ("no time", view(b'"video_id":"v1"'), event(time="record")),
    ("null time", view(b'"video_id":"v1","view_timestamp":null,"timestamp":null'), event(time="record")),
]

NOT_JSON = {
    "one brace": b"{",
    "cut short": keyed(b'"v1"')[:-1],
    "cut in a string": b'{"video_id":"v1',
    "cut in an escape": b'{"video_id":"v1\\',
    "blank": b" \t ",
    "words": b"hello",
    "two objects": keyed(b'"v1"') * 2,
    "trailing comma after": keyed(b'"v1"') + b",",
    "trailing byte": keyed(b'"v1"') + b"x",
    "trailing NUL": keyed(b'"v1"') + b"\0",
    "trailing comma within": view(b'"video_id":"v1","view_timestamp":%d,' % TIME),
    "single quotes": b"{'video_id':'v1'}",
    "bare name": b'{video_id:"v1"}',
    "comment": b'{/**/"video_id":"v1"}',
    "byte order mark": b"\xef\xbb\xbf" + keyed(b'"v1"'),
    "form feed is no space": b"\f" + keyed(b'"v1"'),
    "no-break space": "\u00a0".encode() + keyed(b'"v1"'),
    "NaN": timed(b"NaN"),
    "NaN elsewhere": view(b'"n":NaN,"video_id":"v1"'),
    "Infinity": timed(b"Infinity"),
    "-Infinity": timed(b"-Infinity"),
    "True": timed(b"True"),
    "tab in the key": keyed(b'"a\tb"'),
    "control character in the key": keyed(b'"a\x01b"'),
    "NUL in the key": keyed(b'"a\0b"'),
    "control character elsewhere": view(b'"n":"\x1f","video_id":"v1"'),
    "unknown escape": keyed(b'"\\x"'),
    "half an escape": keyed(b'"\\u12"'),
    "leading zero": timed(b"01760882400000"),
    "plus sign": timed(b"+1760882400000"),
    "no digits after the point": timed(b"1."),
    "no digits before the point": timed(b".5"),
    "empty exponent": timed(b"1e"),
    "hexadecimal": timed(b"0x10"),
    "only a minus": timed(b"-"),
    "underscore": timed(b"1_000"),
    "digits of another script": timed("١".encode()),
    "lone high surrogate in the key": keyed(b'"\\ud83d"'),
    "lone low surrogate in the key": keyed(b'"a\\ude00b"'),
    "surrogates in the wrong order in the key": keyed(b'"\\ude00\\ud83d"'),
    "high surrogate before another escape in the key": keyed(b'"\\ud83d\\n"'),
    "unbalanced": b'{"video_id":["v1"}',
    "missing colon": b'{"video_id" "v1"}',
    "name that is no string": b'{1:"v1"}',
    "30000 open brackets": b"[" * 30_000,
    "30000 brackets within a view": view(b'"n":' + nested(b"[", b"", b"]", 30_000) + b',"video_id":"v1","view_timestamp":1'),
    "5000 objects within one another": nested(b'{"a":', b"1", b"}", 5000),
    "1000 brackets within a view": view(b'"n":' + nested(b"[", b"", b"]", 1000) + b',"video_id":"v1","view_timestamp":1'),
}

NOT_UTF8 = {
    "ff": b"\xff",
    "in the key": keyed(b'"\xff"'),
    "elsewhere": view(b'"n":"\xc3","video_id":"v1"'),
    "overlong": keyed(b'"\xc0\xaf"'),
    "surrogate": keyed(b'"\xed\xa0\x80"'),
    "beyond U+10FFFF": keyed(b'"\xf4\x90\x80\x80"'),
    "cut character at the end": b'{"video_id":"\xf0\x9f\x98',
    "UTF-16": "{}".encode("utf-16"),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
}

WRONG_KEYS = {
    "empty": b'""', "number": b"1", "true": b"true", "false": b"false", "list": b'["v1"]', "object": b'{"id":"v1"}', "U+0000": b'"\\u0000"',
    "U+0000 within": b'"a\\u0000b"', "257 bytes": b'"' + b"k" * 257 + b'"', "258 bytes in 129 characters": '"{}"'.format("é" * 129).encode(),
    "60000 bytes": b'"' + b"k" * 60_000 + b'"', "does not fall through": b'"","videoId":"v1"', "last of two": b'"v1","video_id":0',
}

WRONG_TIMES = {
    "float": b"1760882400000.0", "float that is whole": b"1.7608824e12", "exponent": b"1760882400e3", "digit string": b'"1760882400000"',
    "negative": b"-1", "year 10000": b"253402300800000", "beyond i64": b"9223372036854775808", "beyond u64": b"18446744073709551616",
    "below i64": b"-9223372036854775809", "thousand digits": b"1" + b"0" * 1000, "1e400": b"1e400", "1e-400": b"1e-400",
    "true": b"true", "list": b"[1760882400000]", "object": b"{}", "empty": b'""', "words": b'"yesterday"', "a date": b'"2025-10-19"',
    "missing offset": b'"2025-10-19T14:00:00"', "missing offset with a fraction": b'"2025-10-19T14:00:00.000"', "lower-case t": b'"2025-10-19t14:00:00Z"',
    "lower-case z": b'"2025-10-19T14:00:00z"', "space for T": b'"2025-10-19 14:00:00Z"', "second 60": b'"2016-12-31T23:59:60Z"',
    "minute 60": b'"2025-10-19T14:60:00Z"', "hour 24": b'"2025-10-19T24:00:00Z"', "30 February": b'"2025-02-30T00:00:00Z"',
    "29 February in no leap year": b'"2100-02-29T00:00:00Z"', "month 13": b'"2025-13-01T00:00:00Z"', "month 0": b'"2025-00-01T00:00:00Z"',
    "day 0": b'"2025-10-00T00:00:00Z"', "no seconds": b'"2025-10-19T14:00Z"', "point without digits": b'"2025-10-19T14:00:00.Z"',
    "comma": b'"2025-10-19T14:00:00,5Z"', "offset without colon": b'"2025-10-19T14:00:00+0200"', "offset of hours": b'"2025-10-19T14:00:00+02"',
    "offset of 24 hours": b'"2025-10-19T14:00:00+24:00"', "offset of 60 minutes": b'"2025-10-19T14:00:00+01:60"',
    "minus sign U+2212": '"2025-10-19T14:00:00−02:00"'.encode(), "two offsets": b'"2025-10-19T14:00:00Z+02:00"', "a zone's name": b'"2025-10-19T14:00:00[Europe/Zurich]"',
    "trailing space": b'"2025-10-19T14:00:00Z "', "leading space": b'" 2025-10-19T14:00:00Z"', "trailing line end": b'"2025-10-19T14:00:00Z\\n"',
    "two-digit year": b'"25-10-19T14:00:00Z"', "five-digit year": b'"12025-10-19T14:00:00Z"', "signed year": b'"+2025-10-19T14:00:00Z"',
    "one-digit month": b'"2025-1-19T14:00:00Z"', "week date": b'"2025-W42-7T14:00:00Z"', "basic form": b'"20251019T140000Z"',
    "full-width digits": '"２０２５-10-19T14:00:00Z"'.encode(), "1969": b'"1969-12-31T23:59:59.999Z"', "year 0": b'"0000-01-01T00:00:00Z"',
    "the offset brings 1970 into 1969": b'"1970-01-01T00:30:00+01:00"', "the offset brings 9999 into 10000": b'"9999-12-31T23:30:00-01:00"',
    "does not fall through": b'"no","timestamp":1760882400000',
}


def cases():
    """(name, value or None, expect) of every case, in a fixed order."""
    found = [(f"good: {name}", value, expect) for name, value, expect in GOOD]
    found += [
        ("null", None, code("null")),
        ("empty", b"", code("empty")),
        ("oversized: one byte too many", padded(MAX_BYTES + 1), code("oversized")),
        ("oversized: 1 MB less the envelope", padded(1_000_000), code("oversized")),
        ("oversized before not_utf8", b"\xff" * (MAX_BYTES + 1), code("oversized")),
        ("oversized: blanks", b" " * (MAX_BYTES + 1), code("oversized")),
        ("oversized: brackets", b"[" * DEEP, code("oversized")),
        ("not_utf8 before not_json", b"{\xff", code("not_utf8")),
    ]
    found += [(f"not_utf8: {name}", value, code("not_utf8")) for name, value in NOT_UTF8.items()]
    found += [(f"not_json: {name}", value, code("not_json")) for name, value in NOT_JSON.items()]
    for text in (b"null", b"true", b"1", b"1e400", b'"v1"', b"[]", b'[{"video_id":"v1"}]', b' "" ', nested(b"[", b"", b"]", 100)):
        found.append((f"not_object: {text[:20].decode()}", text, code("not_object")))
    for members in (b"", b'"a":1', b'"video_id":null', b'"video_id":null,"videoId":null', b'"VIDEO_ID":"v1"', b'"video_id ":"v1"',
                    b'"video_id":"v1","video_id":null', b'"n":{"video_id":"v1"}', b'"view_timestamp":"wrong too"'):
        found.append((f"key_missing: {members.decode()}", view(members), code("key_missing")))
    found += [(f"key_invalid: {name}", keyed(key), code("key_invalid")) for name, key in WRONG_KEYS.items()]
    found.append(("key_invalid before time_invalid", view(b'"video_id":1,"view_timestamp":"no"'), code("key_invalid")))
    found += [(f"time_invalid: {name}", timed(time), code("time_invalid")) for name, time in WRONG_TIMES.items()]
    for name, time in (("last millisecond of 9999", b"253402300799999"), ("as text", b'"9999-12-31T23:59:59.999Z"'), ("year 2400", b'"2400-01-01T00:00:00+12:00"')):
        found.append((f"time_future: {name}", timed(time), code("time_future")))
    return found


def mixed(seed):
    """The cases in an order drawn from the seed, and after each a good view: a stall or a lost record shows in the counts."""
    found = cases()
    random.Random(seed).shuffle(found)
    for number, case in enumerate(found):
        yield case
        yield f"good: after {number}", keyed(b'"after"'), event("after")


def in_a_file(value):
    """Whether a file can hold the value as one record: a line feed ends it, and a blank line is none."""
    return value is not None and b"\n" not in value and value.strip(b" \t\r") != b"" and not value.endswith(b"\r")


def write_file(path, seed):
    """Writes the NDJSON and prints, as JSON lines, what must become of each offset."""
    offset = 0
    with open(path, "wb") as file:
        for name, value, expect in mixed(seed):
            if in_a_file(value):
                expect = code("time_missing") if expect.get("time") == "record" else expect
                print(json.dumps({"offset": offset, "name": name, "expect": expect}))
                offset += file.write(value + b"\n")


SENDER = r"""
import java.io.*; import java.util.*; import org.apache.kafka.clients.producer.*; import org.apache.kafka.common.serialization.*;
public class Sender {
    public static void main(String[] words) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", words[0]);
        settings.put("key.serializer", ByteArraySerializer.class.getName());
        settings.put("value.serializer", ByteArraySerializer.class.getName());
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings);
             BufferedReader lines = new BufferedReader(new InputStreamReader(System.in))) {
            List<java.util.concurrent.Future<RecordMetadata>> sent = new ArrayList<>();
            for (String line; (line = lines.readLine()) != null; ) {
                byte[] value = line.equals("-") ? null : Base64.getDecoder().decode(line.substring(1));
                sent.add(producer.send(new ProducerRecord<>(words[1], value)));
            }
            for (var one : sent) one.get();
        }
    }
}
"""


def send(brokers, topic, seed):
    """Sends the cases; only Java's own producer is used, as only Java's own consumer reads them back."""
    lines = "".join("-\n" if value is None else f"+{base64.b64encode(value).decode()}\n" for _, value, _ in mixed(seed))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "Sender.java"
        source.write_text(SENDER)
        logging = os.environ.get("TOPK_TEST_KAFKA_LOGGING", str(Path(__file__).resolve().parent.parent / "services" / "log4j2.xml"))
        command = [os.environ.get("TOPK_TEST_JAVA", "java"), f"-Dlog4j2.configurationFile={logging}",
                   "-cp", os.environ["TOPK_TEST_KAFKA_CLASSPATH"], str(source), brokers, topic]
        subprocess.run(command, input=lines.encode(), check=True)


def main():
    parser = argparse.ArgumentParser(prog="bad_input.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--cases", action="store_true")
    what.add_argument("--file", metavar="FILE")
    what.add_argument("--kafka", metavar="TOPIC")
    parser.add_argument("--brokers", default=os.environ.get("TOPK_TEST_KAFKA", "localhost:9092"))
    parser.add_argument("--seed", type=int, default=1, help="the order of --file and --kafka (default 1)")
    options = parser.parse_args()
    if options.file:
        write_file(options.file, options.seed)
    elif options.kafka:
        send(options.brokers, options.kafka, options.seed)
    else:
        for name, value, expect in cases():
            encoded = None if value is None else base64.b64encode(value).decode()
            print(json.dumps({"name": name, "value_base64": encoded, "expect": expect}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
