"""Reads every table that the job wrote, from Postgres by psql or from the SQLite file, as plain rows with times in epoch ms."""

import json
import os
import sqlite3
import subprocess
from pathlib import Path

from decode import instant
from windows import MINUS, PLUS

ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}


class TablesError(Exception):
    """A table could not be read."""


def name(text):
    return '"' + text.replace('"', '""') + '"'


class Tables:
    """The tables of the contract. A start of all time is MINUS, its end PLUS, as in `windows`."""

    prefix, key_column, qualifier = "video_views", "video_id", ""

    def counts(self, kind):
        """(start, key, views) of a kind's count table."""
        table = f"{self.qualifier}{name(f'{self.prefix}_{kind}')}"
        if kind == "all_time":
            rows = self.rows(f"SELECT {name(self.key_column)}, views FROM {table}")
            return ((MINUS, key, int(views)) for key, views in rows)
        rows = self.rows(f"SELECT window_start, {name(self.key_column)}, views FROM {table}")
        times = Times(MINUS)
        return ((times[start], key, int(views)) for start, key, views in rows)

    def top_k(self):
        """(kind, region, start, end, rank, key, views), window by window, in the order of ranks."""
        columns = f"period, region, start_time, end_time, rank, {name(self.key_column)}, view_count"
        rows = self.rows(f"SELECT {columns} FROM {self.qualifier}top_k_videos ORDER BY period, region, start_time, rank")
        starts, ends = Times(MINUS), Times(PLUS)
        for kind, region, start, end, rank, key, views in rows:
            yield kind, region, starts[start], ends[end], int(rank), key, int(views)

    def status(self):
        """(kind, start, end, state, views, videos, late, epoch)."""
        columns = '"window", window_start, window_end, state, views, videos, late, epoch'
        starts, ends = Times(MINUS), Times(PLUS)
        for kind, start, end, state, *numbers in self.rows(f"SELECT {columns} FROM {self.qualifier}window_status"):
            yield kind, starts[start], ends[end], state, *(int(number) for number in numbers)

    def progress(self):
        """(epoch, offsets by partition, as_of or None) of each shard."""
        for epoch, offsets, as_of in self.rows(f"SELECT epoch, offsets, as_of FROM {self.qualifier}topk_progress ORDER BY shard"):
            yield int(epoch), json.loads(offsets), Times(None)[as_of] if as_of else None

    def ledger(self):
        """(partition, consumed, counted, dead-lettered, lost)."""
        columns = "partition, consumed, counted, dead_lettered, lost"
        for partition, *numbers in self.rows(f"SELECT {columns} FROM {self.qualifier}topk_ledger"):
            yield str(partition), *(int(number) for number in numbers)


class Times(dict):
    """Epoch ms of a timestamp's text, each text read once. Infinite times and SQLite's '' become `infinity`."""

    def __init__(self, infinity):
        self.infinity = infinity

    def __missing__(self, text):
        if text in ("", "-infinity", "infinity"):
            time = self.infinity
        else:
            rfc = text.replace(" ", "T")
            time = instant(rfc[:-3] + "Z" if rfc.endswith("+00") else rfc)
            if time is None:
                raise TablesError(f"{text!r} is no UTC timestamp")
        self[text] = time
        return time


class PostgresTables(Tables):
    """Reads by psql's COPY, which needs no driver and loses nothing."""

    def __init__(self, url, schema, prefix, key_column):
        self.url, self.prefix, self.key_column, self.qualifier = url, prefix, key_column, f"{name(schema)}."

    def rows(self, query):
        command = ["psql", "--no-psqlrc", "--quiet", "--dbname", self.url, "--set", "ON_ERROR_STOP=1", "--command", f"COPY ({query}) TO STDOUT"]
        environment = {**os.environ, "PGTZ": "UTC", "PGDATESTYLE": "ISO", "PGCLIENTENCODING": "UTF8"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as psql:
            for line in psql.stdout:
                text = line[:-1].decode()
                yield [unescaped(field) for field in text.split("\t")] if "\\" in text else text.split("\t")
            complaint = psql.stderr.read().decode(errors="replace").strip()
            if psql.wait():
                raise TablesError(f"{query}: {complaint}")


def unescaped(field):
    """One field of COPY's text format; None for NULL."""
    if field == "\\N":
        return None
    parts = iter(field)
    return "".join(ESCAPES[next(parts)] if character == "\\" else character for character in parts)


class SqliteTables(Tables):
    """Reads the file as it is on disk, without writing to it."""

    def __init__(self, path, prefix, key_column):
        if not Path(path).is_file():
            raise TablesError(f"there is no file {path}")
        self.connection = sqlite3.connect(f"file:{Path(path).resolve()}?mode=ro", uri=True)
        self.prefix, self.key_column = prefix, key_column

    def rows(self, query):
        try:
            yield from self.connection.execute(query)
        except sqlite3.Error as error:
            raise TablesError(f"{query}: {error}") from error
