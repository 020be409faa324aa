"""Fifty million distinct videos against a ceiling of memory, which is raised each time reading has paused for it.

Under each ceiling the job is started again, reads until it says that memory has outgrown job.max_memory, is asked how many videos it
has by then, and is drained; the last start has no ceiling and reads to the end. What was counted under all of them together must be
every view. Tables are off, as in `keys`: what they are to be told is bounded by another setting.
"""

import argparse
import json
import pathlib
import shutil
import sys
import tempfile
import time

import many_keys
import topk

PAUSED = 'topk_paused{reason="job.max_memory"}'


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--videos", type=int, default=50_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ceilings", type=int, nargs="+", default=[1000, 2000, 4000], help="in MiB")


def paused(binary: pathlib.Path, config: pathlib.Path, state: pathlib.Path) -> dict[str, float]:
    """Run until reading pauses: videos by then, and the most memory of the job, in MiB."""
    (state / "endpoints.json").unlink(missing_ok=True)
    began = time.monotonic()
    with topk.running(binary, config) as job:
        url = topk.endpoint(state, job, "job", 600)
        while topk.metric(url, PAUSED) != 1:
            time.sleep(0.1)
        seconds, last = time.monotonic() - began, -1.0
        # What was under way is still being counted.
        while (videos := topk.metric(url, "topk_keys")) != last:
            last = videos
            time.sleep(1)
        # The parent holds a few MiB, and no data.
        return {"videos": videos, "most_mib": topk.megabytes(job.pid, "VmHWM"), "seconds": round(seconds, 1)}


def measure(chosen: argparse.Namespace) -> int:
    binary = chosen.binary.resolve()
    root = pathlib.Path(tempfile.mkdtemp(prefix="topk-ceiling-"))
    state = root / "state"
    try:
        views = chosen.cache / f"distinct-{chosen.videos}-first.ndjson"
        if not views.exists():
            print(f"Writing {chosen.videos:,} views to {views}…", file=sys.stderr)
            many_keys.write(views, chosen.videos, many_keys.START)
        settings = {
            "job.workers": chosen.workers,
            "source.kind": "file",
            "source.file.path": str(views.resolve()),
            "sink.tables": "none",
            "sink.board": "memory",
        }
        figures = []
        for ceiling in chosen.ceilings:
            found = paused(binary, topk.configuration(state, settings | {"job.max_memory": f"{ceiling}MiB"}), state)
            figures.append({"ceiling_mib": ceiling} | found)
            print(json.dumps(figures[-1]), file=sys.stderr)
        before = int(figures[-1]["videos"])
        config = topk.configuration(state, settings)
        seconds, most = many_keys.counted(binary, config, chosen.videos - before)
        figures.append({"ceiling_mib": None, "videos": chosen.videos, "most_mib": most, "seconds": round(seconds, 1)})
    finally:
        shutil.rmtree(root)
    for found in figures:
        found["bytes_per_video"] = round(found["most_mib"] * 1048576 / found["videos"])
    print(json.dumps(figures, indent=2))
    return 0
