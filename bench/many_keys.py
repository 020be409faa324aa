"""Ten million distinct videos in all five windows: memory, journal bytes per view, and how long a restart takes.

First one view of every video within an hour; then, for the month's end, one view of each again a month later. Tables are off:
what they are to be told must not be measured as the job's state. The restart is from a full base, of a job that was killed:
from its start to the moment when every worker counts again (readyz).
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import topk

START = 1_760_875_200_000  # 2025-10-19T12:00:00Z
MONTH = 31 * 86_400_000
HOUR = 3_600_000


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--videos", type=int, default=10_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--restarts", type=int, default=5)


def write(path: pathlib.Path, videos: int, start: int) -> None:
    """One view of each video, evenly over an hour, in an order that is not that of their names."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w", buffering=1 << 20) as lines:
        for first in range(0, videos, 100_000):
            lines.writelines(
                f'{{"video_id":"video-{index * 7_368_787 % videos}","view_timestamp":{start + index * HOUR // videos}}}\n'
                for index in range(first, min(first + 100_000, videos))
            )
    unfinished.rename(path)


class Peak:
    """The most memory that a process and its children were seen to have, in MB."""

    def __init__(self, pid: int) -> None:
        self.most = 0.0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.watch, args=(pid,))
        self.thread.start()

    def watch(self, pid: int) -> None:
        while not self.stop.wait(0.05):
            self.most = max(self.most, topk.megabytes(pid))

    def end(self) -> float:
        self.stop.set()
        self.thread.join()
        return self.most


def counted(binary: pathlib.Path, config: pathlib.Path, expected: int) -> tuple[float, float]:
    """Run to the end: seconds, and the most memory."""
    process = subprocess.Popen([binary, "run", "--until-end", "--config", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak, began = Peak(process.pid), time.monotonic()
    said, complaints = process.communicate()
    seconds = time.monotonic() - began
    most = peak.end()
    if process.returncode != 0 or int(topk.summary_line(said, "counted")) != expected:
        sys.exit(f"topk exited {process.returncode}, {expected} views expected:\n{said}\n{complaints[-2000:]}")
    return seconds, most


def compacted(binary: pathlib.Path, config: pathlib.Path, state: pathlib.Path) -> None:
    """Let the job go on until its base holds nearly everything."""
    (state / "endpoints.json").unlink(missing_ok=True)
    with topk.running(binary, config) as job:
        while topk.metric(topk.endpoint(state, job, "job"), "topk_journal_records_since_base") > 2:
            time.sleep(0.2)


def restarted(binary: pathlib.Path, config: pathlib.Path, state: pathlib.Path) -> tuple[float, float]:
    """Seconds until it counts again, and the most memory until then. It is killed afterwards."""
    (state / "endpoints.json").unlink(missing_ok=True)
    began = time.monotonic()
    process = subprocess.Popen([binary, "run", "--config", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = Peak(process.pid)
    while not topk.is_ready(topk.endpoint(state, process, "job")):
        time.sleep(0.01)
    seconds = time.monotonic() - began
    memory = peak.end()
    for pid in reversed(topk.family(process.pid)):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    return seconds, memory


def measure(chosen: argparse.Namespace) -> int:
    binary = chosen.binary.resolve()
    root = pathlib.Path(tempfile.mkdtemp(prefix="topk-keys-"))
    views, state = root / "views", root / "state"
    views.mkdir()
    try:
        files = [chosen.cache / f"distinct-{chosen.videos}-{name}.ndjson" for name in ["first", "later"]]
        for file, start in zip(files, [START, START + MONTH]):
            if not file.exists():
                print(f"Writing {chosen.videos:,} views to {file}…", file=sys.stderr)
                write(file, chosen.videos, start)
        config = topk.configuration(
            state,
            {
                "job.workers": chosen.workers,
                "source.kind": "file",
                "source.file.path": str(views / "views.ndjson"),
                "sink.tables": "none",
                "sink.board": "memory",
            },
        )
        shutil.copy(files[0], views / "views.ndjson")
        seconds, first = counted(binary, config, chosen.videos)
        journal = topk.size_of(state)
        print(f"counted in {seconds:.1f} s, at most {first:.0f} MB", file=sys.stderr)
        compacted(binary, config, state)
        restarts = [restarted(binary, config, state) for _ in range(chosen.restarts)]
        print("restarts: " + ", ".join(f"{took:.2f} s with {memory:.0f} MB" for took, memory in restarts), file=sys.stderr)
        with (views / "views.ndjson").open("ab") as to, files[1].open("rb") as more:
            shutil.copyfileobj(more, to)
        _, later = counted(binary, config, chosen.videos)
    finally:
        shutil.rmtree(root)
    figures = {
        "videos": chosen.videos,
        "views_per_second": round(chosen.videos / seconds),
        "most_memory_mb": round(first),
        "bytes_per_video": round(first * 1048576 / chosen.videos),
        "journal_bytes_per_view": round(journal / chosen.videos, 1),
        "restart_seconds": sorted(round(took, 2) for took, _ in restarts),
        "most_memory_of_a_restart_mb": round(max(memory for _, memory in restarts)),
        "most_memory_across_a_months_end_mb": round(later),
    }
    print(json.dumps(figures, indent=2))
    return 0
