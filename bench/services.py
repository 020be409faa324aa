"""Kafka, PostgreSQL and Redis for a workload: those that TOPK_TEST_… name, or our own in a temporary folder."""

import contextlib
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "scripts" / "services"
NAMES = ["KAFKA", "POSTGRES", "REDIS"]


@contextlib.contextmanager
def started(*wanted: str) -> Iterator[dict[str, str]]:
    """Addresses by name (KAFKA, POSTGRES, REDIS)."""
    environment = dict(os.environ)
    for name in NAMES:
        if name not in wanted:
            # Named, so that it is not started.
            environment[f"TOPK_TEST_{name}"] = "none"
    folder = tempfile.mkdtemp(prefix="topk-bench-services-")
    pathlib.Path(folder).chmod(0o711)
    print(f"Starting {', '.join(name.lower() for name in wanted)}…", file=sys.stderr)
    try:
        said = subprocess.run([SCRIPT, "start", folder], env=environment, check=True, capture_output=True, text=True)
        found = dict(word.split("=", 1) for line in said.stdout.splitlines() for word in shlex.split(line) if "=" in word)
        yield {name: found[f"TOPK_TEST_{name}"] for name in wanted}
    finally:
        subprocess.run([SCRIPT, "stop", folder], env=environment, check=False, capture_output=True)
