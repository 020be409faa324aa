"""Runs topk for a workload: settings as a file, a run to the end, a job that goes on, and what it says of itself."""

import contextlib
import json
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

Settings = dict[str, str | int]


def configuration(state: pathlib.Path, settings: Settings) -> pathlib.Path:
    """A file of settings; state and dead letters lie in `state`, which is made."""
    state.mkdir(parents=True, exist_ok=True)
    whole: Settings = {"job.state": f"file:{state}", "job.listen": "127.0.0.1:0", "reader.listen": "127.0.0.1:0"} | settings
    if "sink.dead_letters.topic" not in whole:
        whole["sink.dead_letters.file"] = str(state / "dead.ndjson")
    path = state / "topk.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in whole.items()))
    return path


def run(binary: pathlib.Path, settings: pathlib.Path) -> tuple[float, str]:
    """Seconds of one `topk run --until-end`, and its summary."""
    started = time.monotonic()
    ended = subprocess.run([binary, "run", "--until-end", "--config", settings], capture_output=True, text=True)
    seconds = time.monotonic() - started
    if ended.returncode != 0:
        sys.exit(f"topk exited {ended.returncode}:\n{ended.stderr}")
    return seconds, ended.stdout


def summary_line(summary: str, name: str) -> str:
    """`read`, `counted`, …: what the summary says of it."""
    return next(line.split(maxsplit=1)[1] for line in summary.splitlines() if line.split(maxsplit=1)[0] == name)


@contextlib.contextmanager
def running(binary: pathlib.Path, settings: pathlib.Path, verb: str = "run") -> Iterator[subprocess.Popen]:
    """A job or a reader, drained at the end."""
    log = settings.with_suffix(f".{verb}.log")
    with log.open("w") as to:
        process = subprocess.Popen([binary, verb, "--config", settings], stdout=to, stderr=to)
    try:
        yield process
    except BaseException:
        print(log.read_text()[-4000:], file=sys.stderr)
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def endpoint(state: pathlib.Path, process: subprocess.Popen, name: str, deadline: float = 60) -> str:
    """The URL of a started job or of its reader. The file of an earlier run was removed before the start."""
    path = state / "endpoints.json"
    for _ in range(int(deadline * 200)):
        with contextlib.suppress(OSError, ValueError):
            if url := json.loads(path.read_text()).get(name):
                return url
        if process.poll() is not None:
            break
        time.sleep(0.005)
    sys.exit(f"no {name} in {path}")


def is_ready(url: str) -> bool:
    with contextlib.suppress(OSError):
        return urllib.request.urlopen(f"{url}/readyz", timeout=2).status == 200
    return False


def metric(url: str, name: str) -> float:
    """A metric, named with its labels; infinite until it is there."""
    with contextlib.suppress(OSError):
        for line in urllib.request.urlopen(f"{url}/metrics", timeout=2).read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    return float("inf")


def family(pid: int) -> list[int]:
    """A process and its children."""
    with contextlib.suppress(OSError):
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]
    return [pid]


def megabytes(pid: int, what: str = "VmRSS") -> float:
    """`VmRSS` or `VmHWM` of a process and its children together."""
    total = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{one}/status").read_text().splitlines():
                if line.startswith(what + ":"):
                    total += int(line.split()[1])
    return total / 1024


def size_of(folder: pathlib.Path) -> int:
    """Bytes of all files below a folder."""
    return sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file())
