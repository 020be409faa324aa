"""Reads the boards from Redis. Speaks its protocol directly: redis-cli would need one process per board to return bytes untouched."""

import socket
from urllib.parse import unquote, urlsplit

BATCH = 500


class BoardsError(Exception):
    """The boards could not be read."""


class RedisBoards:
    """Everything under a prefix."""

    def __init__(self, url, prefix):
        parts = urlsplit(url)
        if parts.scheme != "redis":
            raise BoardsError(f"{url}: only redis:// is read here")
        self.prefix = prefix
        self.socket = socket.create_connection((parts.hostname or "localhost", parts.port or 6379), timeout=60)
        self.replies = self.socket.makefile("rb")
        if parts.password:
            words = [unquote(word) for word in (parts.username, parts.password) if word]
            self.ask([("AUTH", *words)])
        if parts.path.strip("/"):
            self.ask([("SELECT", parts.path.strip("/"))])

    def ask(self, commands):
        """The replies to commands sent in one go."""
        request = bytearray()
        for command in commands:
            words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
            request += b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
        self.socket.sendall(request)
        return [self.reply() for _ in commands]

    def reply(self):
        line = self.replies.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.replies.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        raise BoardsError(f"Redis answered {line!r}")

    def names(self):
        """The names of all keys under the prefix."""
        found, cursor = set(), b"0"
        pattern = "".join(f"\\{character}" if character in "*?[]^\\" else character for character in self.prefix) + ":*"
        while True:
            [[cursor, names]] = self.ask([("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)])
            found.update(names)
            if cursor == b"0":
                return found

    def read(self, names):
        """(name, bytes or None, milliseconds to live: -1 for ever, -2 absent) of each."""
        names = list(names)
        for at in range(0, len(names), BATCH):
            part = names[at:at + BATCH]
            replies = self.ask([command for name in part for command in (("GET", name), ("PTTL", name))])
            yield from zip(part, replies[0::2], replies[1::2])
