"""The views that workloads read: one million videos, Zipf 1.0, one hour of event time, about 110 bytes each."""

import functools
import pathlib
import sys

import numpy

START = 1_760_875_200_000  # 2025-10-19T12:00:00Z
HOUR = 3_600_000
REGIONS = ["NA", "EU", "AP", "LA", "AF"]
DEVICES = ["ios", "android", "web", "tv"]


def file(cache: pathlib.Path, views: int, videos: int) -> pathlib.Path:
    """The file of so many views; written once and kept in the cache."""
    path = (cache / f"views-{views}-{videos}.ndjson").resolve()
    if not path.exists():
        print(f"Writing {views:,} views to {path}…", file=sys.stderr)
        write(path, views, videos)
    return path


@functools.cache
def bounds(videos: int) -> numpy.ndarray:
    """The share of views that go to this video or a more viewed one."""
    weights = 1.0 / numpy.arange(1, videos + 1)
    return numpy.cumsum(weights / weights.sum())


def draw(random: numpy.random.Generator, videos: int, count: int) -> numpy.ndarray:
    """So many numbers of videos, Zipf 1.0."""
    return numpy.minimum(numpy.searchsorted(bounds(videos), random.random(count)), videos - 1)


def write(path: pathlib.Path, views: int, videos: int, seed: int = 42) -> None:
    """Write `views` lines of NDJSON, evenly spaced over one hour; the same arguments give the same bytes."""
    random = numpy.random.default_rng(seed)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w", buffering=1 << 20) as lines:
        for first in range(0, views, 250_000):
            count = min(250_000, views - first)
            drawn = draw(random, videos, count).tolist()
            users = random.integers(0, 1_000_000, count).tolist()
            places = random.integers(0, len(REGIONS), count).tolist()
            devices = random.integers(0, len(DEVICES), count).tolist()
            lines.writelines(
                f'{{"video_id":"v{video}","view_timestamp":{START + (first + index) * HOUR // views},'
                f'"user_id":"u{user}","region":"{REGIONS[place]}","device":"{DEVICES[device]}"}}\n'
                for index, (video, user, place, device) in enumerate(zip(drawn, users, places, devices))
            )
    unfinished.rename(path)
