"""The reader alone, over HTTP with lists in Redis: the most requests per second (wrk), and latency at a fixed rate (oha).

The answers are compared with Redis' list before anything is measured. All on one machine: client, reader and Redis share its
cores, so the ceiling is that of all three.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import redis
import services
import topk

UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=int, default=1000, help="requests per second of the latency run")


def ceiling(url: str, chosen: argparse.Namespace) -> dict[str, float]:
    words = ["wrk", "-t", "1", "-c", chosen.connections, "-d", f"{chosen.seconds}s", "--latency", url]
    said = subprocess.run([*map(str, words)], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said:
        sys.exit(f"not every answer was 200:\\n{said}")
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", said).groups()
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    return {"requests_per_second": round(rate), "p99_ms": round(float(number) * UNITS[unit], 2)}


def at_rate(url: str, chosen: argparse.Namespace) -> dict[str, float]:
    # Latency is counted from when a request was due, not from when the one before was answered.
    words = ["oha", "--no-tui", "--output-format", "json", "-z", f"{chosen.seconds}s", "-c", chosen.connections]
    words += ["-q", chosen.rate, "--latency-correction", url]
    said = json.loads(subprocess.run([*map(str, words)], check=True, capture_output=True, text=True).stdout)
    # Those that are under way at the end are cut off.
    cut = said["errorDistribution"].pop("aborted due to deadline", 0)
    if [*said["statusCodeDistribution"]] != ["200"] or said["errorDistribution"] or cut > chosen.connections:
        sys.exit(f"not every answer was 200: {said['statusCodeDistribution']}, {said['errorDistribution']}")
    percentile = lambda which: round(said["latencyPercentiles"][which] * 1000, 2)
    return {
        "requests_per_second": round(said["statusCodeDistribution"]["200"] / chosen.seconds),
        "p50_ms": percentile("p50"),
        "p99_ms": percentile("p99"),
    }


def check(url: str, blob: dict, k: int) -> None:
    answer = json.load(urllib.request.urlopen(url, timeout=5))
    found = [[item["videoId"], item["views"]] for item in answer["items"]]
    if len(found) != k or found != blob["items"][:k]:
        sys.exit(f"{url} does not answer what is in Redis")


def measure(chosen: argparse.Namespace) -> int:
    binary = chosen.binary.resolve()
    root = pathlib.Path(tempfile.mkdtemp(prefix="topk-reader-"))
    figures: dict[str, object] = {}
    try:
        with services.started("REDIS") as found:
            views = root / "views.ndjson"
            words = ["generate", "--count", "200000", "--late", "0", "--malformed", "0", "--file", str(views)]
            subprocess.run([binary, *words], check=True)
            config = topk.configuration(
                root / "state",
                {
                    "source.kind": "file",
                    "source.file.path": str(views),
                    "sink.tables": "none",
                    "sink.redis.url": found["REDIS"],
                    "sink.redis.prefix": "bench-reader",
                    "reader.listen": "127.0.0.1:18080",
                },
            )
            topk.run(binary, config)
            blob = json.loads(redis.Redis.from_url(found["REDIS"]).get("bench-reader:all_time:all"))
            with topk.running(binary, config, "serve"):
                log = config.with_suffix(".serve.log")
                while not (said := re.search(r"reader: (http://\S+)/", log.read_text())):
                    time.sleep(0.05)
                for k in [100, 1000]:
                    url = f"{said[1]}/v1/top?window=all_time&k={k}"
                    check(url, blob, k)
                    most = ceiling(url, chosen)
                    steady = at_rate(url, chosen)
                    figures[f"k={k}"] = {"ceiling": most, f"at {chosen.rate}/s": steady}
                    print(f"k={k}: {figures[f'k={k}']}", file=sys.stderr)
                    check(url, blob, k)
    finally:
        shutil.rmtree(root)
    print(json.dumps(figures, indent=2))
    return 0
