"""Reads the log without any code of topk: Kafka through its own JVM console consumer, files by the contract's rule of lines.

Whatever the source, a record is the tuple (partition, offset, timestamp, log_append, key, value, headers): timestamp is -1 where
there is none, log_append says that the broker set it, value is None for a record without one, headers are pairs of bytes.
"""

import hashlib
import os
import struct
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTITION = struct.Struct(">iqqq")
RECORD = struct.Struct(">iqqbiii")
LENGTHS = struct.Struct(">ii")
CHUNK = 1 << 20
LOG_APPEND_TIME = 1
BLANK = b" \t\r"


class LogError(Exception):
    """The log could not be read whole; nothing can be said about the tables."""


class Edges:
    """Where a partition began and ended for a read_committed reader, and its last visible record (-1: none)."""

    def __init__(self, begin, end, last):
        self.begin, self.end, self.last = begin, end, last


def formatter_folder(java, classpath):
    """The folder of the compiled formatter; compiled once per content, and put in place by a rename so that two runs can race."""
    source = HERE / "LosslessFormatter.java"
    digest = hashlib.sha256(source.read_bytes() + classpath.encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"topk-recount-{os.getuid()}-{digest}"
    if not (folder / "LosslessFormatter.class").exists():
        javac = Path(java).with_name("javac") if os.sep in java else "javac"
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run([str(javac), "-proc:none", "-cp", classpath, "-d", scratch, str(source)], check=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            for compiled in Path(scratch).iterdir():
                staged = folder / f"{compiled.name}.{os.getpid()}"
                staged.write_bytes(compiled.read_bytes())
                staged.replace(folder / compiled.name)
    if folder.stat().st_uid != os.getuid():
        raise LogError(f"{folder} belongs to another user; remove it or set TMPDIR")
    return folder


class KafkaLog:
    """A topic, read from its beginning to the end that a read_committed consumer sees at the start. Iterate once, then see edges."""

    def __init__(self, brokers, topic, until=None, java=None, classpath=None, logging=None):
        self.topic = topic
        self.edges = {}
        java = java or os.environ.get("TOPK_TEST_JAVA", "java")
        classpath = classpath or os.environ.get("TOPK_TEST_KAFKA_CLASSPATH")
        logging = logging or os.environ.get("TOPK_TEST_KAFKA_LOGGING", str(HERE.parent / "services" / "log4j2.xml"))
        if not classpath:
            raise LogError("TOPK_TEST_KAFKA_CLASSPATH is not set: the folder of Kafka's jars, as ./test sets it")
        classpath = f"{formatter_folder(java, classpath)}{os.pathsep}{classpath}"
        self.command = [
            java, "-Xmx512m", f"-Dlog4j2.configurationFile={logging}", "-cp", classpath,
            "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", brokers, "--topic", topic, "--from-beginning",
            "--isolation-level", "read_committed", "--formatter", "LosslessFormatter",
            "--formatter-property", f"brokers={brokers}", "--formatter-property", f"topic={topic}",
        ]
        if until is not None:
            limits = ",".join(f"{partition}:{offset}" for partition, offset in sorted(until.items()))
            self.command += ["--formatter-property", f"until={limits}"]

    def __iter__(self):
        complaints = tempfile.TemporaryFile()
        with complaints, subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=complaints) as consumer:
            try:
                ended = yield from frames(consumer.stdout, self.edges)
                status = consumer.wait()
            except BaseException:
                consumer.kill()
                raise
            if status or not ended:
                complaints.seek(0)
                said = complaints.read().decode(errors="replace").strip()
                raise LogError(f"the console consumer ended with status {status} before the end of {self.topic}: {said[:2000]}")


def frames(stream, edges, chunk=CHUNK):
    """Cuts the stream into frames. A frame that reaches beyond what was read so far is looked at again after the next read."""
    record, fixed = RECORD.unpack_from, RECORD.size
    pending = b""
    while True:
        more = stream.read(chunk)
        if not more:
            return pending == b"E"
        data, at = pending + more, 0
        size = len(data)
        while at < size:
            kind = data[at]
            if kind == 0x52:  # R
                start = at + 1 + fixed
                if start > size:
                    break
                partition, offset, timestamp, kind, headers, key_length, value_length = record(data, at + 1)
                key_end = start + key_length if key_length > 0 else start
                end = key_end + value_length if value_length > 0 else key_end
                if end > size:
                    break
                pairs = ()
                if headers:
                    pairs, end = header_pairs(data, end, headers)
                    if pairs is None:
                        break
                key = data[start:key_end] if key_length >= 0 else None
                value = data[key_end:key_end + value_length] if value_length >= 0 else None
                yield str(partition), offset, timestamp, kind == LOG_APPEND_TIME, key, value, pairs
                at = end
            elif kind == 0x50:  # P
                if at + 1 + PARTITION.size > size:
                    break
                partition, begin, end, last = PARTITION.unpack_from(data, at + 1)
                edges[str(partition)] = Edges(begin, end, last)
                at += 1 + PARTITION.size
            elif kind == 0x45:  # E, and nothing after it
                break
            else:
                raise LogError(f"the console consumer printed something else: {data[at:at + 200]!r}")
        pending = data[at:]


def header_pairs(data, at, count):
    """The headers that start at `at` and where they end; (None, at) if they are not all there yet."""
    pairs = []
    for _ in range(count):
        if at + LENGTHS.size > len(data):
            return None, at
        name_length, value_length = LENGTHS.unpack_from(data, at)
        at += LENGTHS.size
        end = at + name_length + max(value_length, 0)
        if end > len(data):
            return None, at
        pairs.append((data[at:at + name_length], None if value_length < 0 else data[at + name_length:end]))
        at = end
    return tuple(pairs), at


class FileLog:
    """A file, or every regular file of a directory that is no dot file. The partition is the file's name, the offset a byte offset."""

    def __init__(self, path, until=None):
        self.path, self.until, self.edges = Path(path), until, {}

    def __iter__(self):
        files = [self.path]
        if self.path.is_dir():
            files = sorted(file for file in self.path.iterdir() if file.is_file() and not file.name.startswith("."))
        for file in files:
            end = file.stat().st_size
            if self.until is not None:
                end = min(end, self.until.get(file.name, 0))
            offset, last = 0, -1
            with file.open("rb") as lines:
                while offset < end:
                    line = lines.readline()
                    value = line[:-1] if line.endswith(b"\n") else line
                    if value.strip(BLANK):
                        yield file.name, offset, -1, False, None, value, ()
                        last = offset
                    offset += len(line)
            self.edges[file.name] = Edges(0, end, last)
