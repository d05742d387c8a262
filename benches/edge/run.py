#!/usr/bin/env python3
"""The edge beside nginx, HAProxy and Caddy: one machine, one run, interleaved rounds, medians.

Every proxy does the same work (`proxies.py` says which) with the same number of workers, in front of the same nginx that answers
1 KiB. Each workload (`workloads.py`) begins with newly started proxies and a round that is not counted; then rounds alternate
between them, each beginning with another one, so that a noisy minute hits all. With one worker, the proxy has one core
to itself, clients and upstream have the others; with a worker for each core all share all. No proxy is placed otherwise than the others.

    make build
    benches/edge/run.py                      # some thirty minutes; writes benches/results/edge.json
    benches/edge/run.py --rounds 1 --seconds 1 --workers 1 --workloads http1-64,cached --output /tmp/edge.json
    benches/edge/run.py --proxies edge,edge-logged --workloads http1-64,http2-32 --output /tmp/log.json   # what the log of requests costs
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from clients import LOAD, ROOT
from process import CORES, Places, Process, allow_many_sockets, free_port, profiled, wait_for
from proxies import LOGGED, PROXIES, Place, certify, fill, upstream
from workloads import ALL, WORKLOADS

# Of the uncounted round.
WARM_SECONDS = 1
PACKAGES = {"nginx": "nginx", "wrk": "wrk", "h2load": "nghttp2-client", "openssl": "openssl", "taskset": "util-linux"}


@dataclass
class Running:
    name: str
    place: Place
    process: Process


class Bench:
    """Measurements with one number of workers."""

    def __init__(self, arguments, folder, edge, workers):
        self.arguments, self.folder, self.edge, self.workers = arguments, folder, edge, workers
        self.rounds, self.seconds = arguments.rounds, arguments.seconds
        self.places = Places(workers, arguments.pinned)
        self.capacity, self.turn, self.started_count = None, 0, 0

    def __enter__(self):
        self.places.use_for_load()
        self.upstream, self.sink = free_port(), free_port()
        sink = [str(LOAD), "sink", "--address", f"127.0.0.1:{self.sink}"]
        with contextlib.ExitStack() as stack:
            for port, command in ((self.upstream, upstream(self.folder, self.upstream, len(self.places.load))), (self.sink, sink)):
                process = Process(command, self.folder, self.places.load, until_input_ends=True)
                stack.callback(process.stop)
                wait_for(command[0], port, process)
            self.behind = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.behind.close()

    @contextlib.contextmanager
    def started(self, names, purpose):
        self.started_count += 1
        running = []
        try:
            for name in names:
                tag = f"{self.workers}-{self.started_count}-{purpose}"
                place = Place(self.folder, tag, self.workers, free_port(), free_port(), self.upstream, self.sink, self.edge)
                process = Process(PROXIES[name](place), self.folder, self.places.proxy, {"GOMAXPROCS": str(self.workers)})
                running.append(Running(name, place, process))
            for one in running:
                for port in (one.place.plain, one.place.secure):
                    wait_for(one.name, port, one.process)
            yield running
        finally:
            for one in running:
                one.process.stop()

    def workload(self, key):
        workload = WORKLOADS[key]
        names = [name for name in self.arguments.proxies if ("edge" if name == LOGGED else name) in workload.proxies]
        rounds = {name: [] for name in names}
        facts = {}

        def measure(proxy):
            folder = self.arguments.profile
            with profiled(proxy.process, folder and folder / f"{self.workers}-{key}-{proxy.name}.perf"):
                measured = workload.measure(self, proxy, workload, self.seconds)
            rounds[proxy.name].append(measured)
            told = ", ".join(f"{name} {value:.4g}" for name, value in measured.items() if value is not None)
            print(f"  {self.workers} workers, {key}, round {self.turn + 1}: {proxy.name:8} {told}", file=sys.stderr)

        def order():
            # Each round begins with another one, so that none is always first after a pause.
            first = self.turn % len(names)
            return names[first:] + names[:first]

        with contextlib.ExitStack() as stack:
            if not workload.fresh:
                proxies = {one.name: one for one in stack.enter_context(self.started(names, key))}
                facts = {name: {"pss_idle_bytes": one.process.memory_bytes()} for name, one in proxies.items()}
                for one in proxies.values() if workload.warm else ():
                    workload.measure(self, one, workload, min(WARM_SECONDS, self.seconds))
            for self.turn in range(self.rounds):
                for name in order():
                    if workload.fresh:
                        with self.started([name], key) as (one,):
                            measure(one)
                    else:
                        measure(proxies[name])
            if not workload.fresh:
                for name, one in proxies.items():
                    facts[name] |= {"pss_after_bytes": one.process.memory_bytes(), "rss_after_bytes": one.process.memory_bytes("Rss")}
        return [
            {
                "proxy": name,
                "workers": self.workers,
                "workload": key,
                "title": workload.title,
                "connections": workload.connections,
                **median(rounds[name]),
                **facts.get(name, {}),
                "rounds": rounds[name],
            }
            for name in names
        ]


def median(rounds):
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def version(*command):
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    return (output.stdout + output.stderr).strip().splitlines()[0]


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": len(CORES),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def find_edge(given):
    """The edge's command: `mana edge`, unless something else is asked for."""
    if given:
        return given.split()
    mana = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/mana"
    if not mana.exists():
        sys.exit(f"{mana} is not there: build it (make build), or name another with --edge")
    return [str(mana), "edge"]


def check(arguments):
    missing = [name for name in arguments.proxies if name not in ("edge", LOGGED) and not shutil.which(name)]
    packages = [package for tool, package in PACKAGES.items() if not shutil.which(tool)]
    if missing or packages:
        sys.exit(f"missing: {', '.join(missing + packages)} (apt-get install them, or leave proxies out with --proxies)")
    if not LOAD.exists():
        sys.exit(f"{LOAD} is not there: build it (make build)")


def run(arguments):
    check(arguments)
    edge = find_edge(arguments.edge)
    allow_many_sockets()
    if arguments.profile:
        arguments.profile.mkdir(parents=True, exist_ok=True)
    # What was started is stopped, however this ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = []
    with tempfile.TemporaryDirectory(prefix="bench-edge-") as name:
        folder = pathlib.Path(name)
        # nginx started by root gives its workers to nobody, who must be able to enter.
        folder.chmod(0o755)
        certify(folder)
        fill(folder)
        for workers in arguments.workers:
            with Bench(arguments, folder, edge, workers) as bench:
                for key in arguments.workloads:
                    results += bench.workload(key)
    return results


def told_of_log(results):
    """What the log of requests costs, where it was measured."""
    for logged in (one for one in results if one["proxy"] == LOGGED):
        plain = next((one for one in results if one["proxy"] == "edge" and (one["workers"], one["workload"]) == (logged["workers"], logged["workload"])), {})
        if not plain:
            continue
        cpu = lambda one: one["cpu_user_us_per_request"] + one["cpu_system_us_per_request"]
        rate = logged["requests_per_second"] / plain["requests_per_second"]
        print(f"with a line for each request: {logged['title']}, {logged['workers']} workers: requests a second × {rate:.3f}, processor time a request × {cpu(logged) / cpu(plain):.3f}")


def main():
    numbers = lambda text: [len(CORES) if part == "all" else int(part) for part in text.split(",")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", help="command of the edge, instead of target/release/mana edge")
    parser.add_argument("--proxies", type=lambda text: text.split(","), default=list(ALL), help=", ".join(PROXIES))
    parser.add_argument("--workers", type=numbers, default=sorted({1, len(CORES)}), help="1,all")
    parser.add_argument("--workloads", type=lambda text: text.split(","), default=list(WORKLOADS), help=", ".join(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--unpinned", dest="pinned", action="store_false", help="all share all cores, with one worker too")
    parser.add_argument("--profile", type=pathlib.Path, help="folder for what `perf record` sees of each proxy, in the last round of each workload")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "benches" / "results" / "edge.json")
    arguments = parser.parse_args()
    begin = datetime.datetime.now(datetime.timezone.utc)
    commit = version("git", "-C", str(ROOT), "describe", "--always", "--dirty")
    about = {
        "machine": machine(),
        "versions": {
            "mana": f"{find_edge(arguments.edge)[0].removeprefix(f'{ROOT}/')} of {commit}",
            "rustc": version("rustc", "--version"),
            "nginx": version("nginx", "-v"),
            "HAProxy": version("haproxy", "-v"),
            "Caddy": version("caddy", "version"),
            "wrk": version("wrk", "-v"),
            "h2load": version("h2load", "--version"),
            "OpenSSL": version("openssl", "version"),
        },
        "command": " ".join(["benches/edge/run.py", *sys.argv[1:]]),
        "at": begin.isoformat(timespec="seconds"),
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "places": {
            str(workers): {"proxy": Places(workers, arguments.pinned).proxy, "load": Places(workers, arguments.pinned).load}
            for workers in arguments.workers
        },
    }
    results = run(arguments)
    about["took_seconds"] = round((datetime.datetime.now(datetime.timezone.utc) - begin).total_seconds())
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps({**about, "results": results}, indent=1) + "\n")
    told_of_log(results)
    print(f"\nwritten: {arguments.output}")


if __name__ == "__main__":
    main()
