"""`bench/run WORKLOAD`: names the workloads. Each is a module with `arguments(parser)` and `measure(arguments)`."""

import argparse
import pathlib
import sys

import ceiling
import file_of_views
import freshness
import kafka_topic
import many_keys
import reader_rate

WORKLOADS = {
    "w1": file_of_views,
    "w2": kafka_topic,
    "freshness": freshness,
    "keys": many_keys,
    "ceiling": ceiling,
    "reader": reader_rate,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    workloads = parser.add_subparsers(required=True, metavar="WORKLOAD")
    for name, module in WORKLOADS.items():
        workload = workloads.add_parser(name, help=(module.__doc__ or "").strip().splitlines()[0])
        workload.add_argument("--binary", type=pathlib.Path, required=True, help="the release binary")
        workload.add_argument("--cache", type=pathlib.Path, required=True, help="where inputs are kept between runs")
        module.arguments(workload)
        workload.set_defaults(measure=module.measure)
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    return arguments.measure(arguments)


if __name__ == "__main__":
    sys.exit(main())
