#!/usr/bin/env python3
"""Measures delivery: rollouts and rollbacks under load, how soon a switch and a way back are through, what a bad release does to
users, how often the gate is wrong, and a control plane killed at every entry of a rollout's journal. Writes
benches/results/delivery.json. Uses a repository, a data folder and ports of its own, and the release binaries; `--debug` takes
those of a debug build, to try it out."""

import argparse
import contextlib
import http.client
import json
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from local import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOST = "shop.localhost"
SHARE = 0.7  # of the capacity, as load
LATE = 1.0  # seconds: an answer after that is a delayed one
CHUNK = 30  # seconds of one run of a load tool
USERS = 8  # who meet a bad release
GOOD, WARM, QUICK = "good", "warm", "quick"
GATES = {
    # Until the window, in which the old version stays warm.
    GOOD: 'canary = ["10% 10s"], warm = "1h", requests = 20',
    WARM: 'canary = [], warm = "1h", requests = 20',
    # To the end: the old version is gone.
    QUICK: 'canary = [], warm = "1s", guard = "1s", requests = 1',
    "bad": 'canary = ["10% 2m"], warm = "1h"',
}
BAD = {
    "5 % errors": "FAILS=5",
    "1 s later": "WORK_MILLIS=1000",
    "crash after 30 s": "CRASHES=30",
}


class Shop:
    """An ecosystem of one service, and releases of it."""

    def __init__(self, folder, binaries):
        self.folder, self.binaries = pathlib.Path(folder), binaries
        self.edge, self.secure, self.port = free_port(), free_port(), free_port()
        self.git("init", "-q", "-b", "main")
        (self.folder / ".gitignore").write_text("/out\n/data\n/.mana\n")
        self.program("v0")
        self.manifest(GOOD)
        subprocess.run(["sh", "make.sh"], cwd=self.folder, check=True)

    def git(self, *arguments):
        command = ["git", "-c", "user.name=Bench", "-c", "user.email=bench@example.org", "-c", "commit.gpgsign=false", *arguments]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    def program(self, version, wrong=""):
        instance = shlex.quote(str(self.binaries / "examples/instance"))
        crash = "( sleep 30; kill -9 $$ ) &\n" if wrong == "CRASHES=30" else ""
        script = f"#!/bin/sh\n{crash}VERSION={version} {wrong} exec {instance} \"$@\"\n"
        (self.folder / "make.sh").write_text(f"mkdir -p out && cat > out/fresh <<'END'\n{script}END\nchmod +x out/fresh && mv out/fresh out/shop\n")

    def manifest(self, gate):
        (self.folder / "mana.toml").write_text(
            f'name = "shop"\ndomain = "shop.example"\n[projects]\nshop = {{}}\n[releases]\nadvisories = []\n'
            f'[environments.development]\nlisten = "127.0.0.1:{self.edge}"\ntls = "local"\ntls_listen = "127.0.0.1:{self.secure}"\n'
            f'[services.shop-backend]\ncommand = "out/shop"\nport = {self.port}\nhosts = ["{HOST}"]\n'
            f"rollout = {{ {GATES[gate]} }}\n[services.shop-backend.build]\ncommand = \"sh make.sh\"\n"
        )

    def mana(self, *arguments, allowed=(0,)):
        command = [self.binaries / "mana", "--manifest", self.folder / "mana.toml", "--data", self.folder / "data", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode not in allowed:
            raise SystemExit(f"mana {' '.join(arguments)}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done.stdout

    def gate(self, gate):
        self.manifest(gate)
        self.mana("up")

    def release(self, version, wrong=""):
        self.program(version, wrong)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", version)
        self.git("tag", version)
        self.mana("build", "shop-backend", "--ref", version)

    def last(self):
        return json.loads(self.mana("rollouts", "shop-backend", "--json"))

    def rolled_back(self):
        """The way back ends when the new version is stopped."""
        began = time.monotonic()
        while time.monotonic() - began < 60:
            rollouts = self.last()
            rollouts = rollouts["rollouts"] if isinstance(rollouts, dict) else rollouts
            if max(rollouts, key=lambda one: one["number"])["stage"] == "rolled-back":
                return
            time.sleep(0.05)
        raise SystemExit("the way back does not end")


def ask(port, path, connection=None):
    """Status and body; 0 where there is none."""
    own = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        own.request("GET", path, headers={"Host": HOST})
        answer = own.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        own.close()
        return 0, ""
    finally:
        if connection is None:
            own.close()


@contextlib.contextmanager
def in_background(work, count=1):
    """`work(stop)` in threads, until the block ends. What it raises is raised."""
    stop, problems = threading.Event(), []

    def guarded(number):
        try:
            work(stop, number)
        except BaseException as problem:  # noqa: BLE001: raised below
            problems.append(problem)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if problems:
        raise problems[0]


def capacity(shop):
    """Requests a second that get through, of each kind alone."""
    plain = subprocess.run(["wrk", "-t1", "-c32", "-d5", f"http://127.0.0.1:{shop.port}/work"], check=True, capture_output=True, text=True).stdout
    command = ["h2load", "-c", "8", "-m", "8", "-D", "5", f"--connect-to=127.0.0.1:{shop.secure}", f"https://{HOST}:{shop.secure}/work"]
    secure = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(re.search(r"Requests/sec:\s+([\d.]+)", plain)[1]), float(re.search(r"finished in .*?, ([\d.]+) req/s", secure)[1])


class Load:
    """Requests, of those failed, and delayed; the slowest of them."""

    def __init__(self):
        self.requests = self.failed = self.delayed = 0
        self.slowest, self.lock = 0.0, threading.Lock()

    def add(self, requests, failed, delayed, slowest):
        with self.lock:
            self.requests += requests
            self.failed += failed
            self.delayed += delayed
            self.slowest = max(self.slowest, slowest)

    def told(self):
        return {"requests": self.requests, "failed": self.failed, "delayed": self.delayed, "slowest_seconds": self.slowest}


def http1(shop, rate, load):
    def work(stop, _):
        while not stop.is_set():
            out = subprocess.run(
                [shop.binaries / "load", "rate", "--address", f"127.0.0.1:{shop.port}", "--path", "/work", "--rate", str(rate), "--connections", "64", "--seconds", str(CHUNK)],
                check=True, capture_output=True, text=True).stdout
            told = json.loads(out)
            load.add(told["requests"] + told["errors"], told["errors"], told["late_answers"], told["max_seconds"])
    return work


def http2(shop, rate, load):
    clients = 8

    def work(stop, _):
        with tempfile.NamedTemporaryFile() as log:
            while not stop.is_set():
                log.truncate(0)
                subprocess.run(
                    ["h2load", "-c", str(clients), "-m", "8", "-D", str(CHUNK), "--rps", str(max(1, rate // clients)), "--log-file", log.name,
                     f"--connect-to=127.0.0.1:{shop.secure}", f"https://{HOST}:{shop.secure}/work"], check=True, capture_output=True, text=True)
                # Begin, status (-1: none) and microseconds of each.
                lines = [line.split() for line in open(log.name)]
                times = [int(line[2]) / 1e6 for line in lines]
                if not lines:
                    raise SystemExit("h2load has sent nothing: no figure is better than one of nothing")
                load.add(len(lines), sum(line[1] != "200" for line in lines), sum(took > LATE for took in times), max(times, default=0))
    return work


def streams(shop, load):
    """Answers of two seconds, of which a part comes every tenth of a second; delayed: a part came more than a second after the one before."""
    def work(stop, _):
        while not stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=10)
            parts, gap, last = 0, 0.0, time.monotonic()
            try:
                connection.request("GET", "/stream", headers={"Host": HOST})
                answer = connection.getresponse()
                while answer.status == 200 and answer.readline():
                    now = time.monotonic()
                    parts, gap, last = parts + 1, max(gap, now - last), now
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            load.add(1, parts != 20, gap > LATE, gap)
    return work


@contextlib.contextmanager
def under_load(shop, rate):
    """Three kinds at once; what they meet is in what is given, once it has ended."""
    loads = {"HTTP/1.1": Load(), "HTTP/2": Load(), "streams": Load()}
    with contextlib.ExitStack() as stack:
        stack.enter_context(in_background(http1(shop, rate, loads["HTTP/1.1"])))
        stack.enter_context(in_background(http2(shop, rate, loads["HTTP/2"])))
        stack.enter_context(in_background(streams(shop, loads["streams"]), 16))
        yield loads


def rounds(shop, count):
    """Rollouts and rollbacks under three kinds of load; and the same load with neither, to tell what is the load's own."""
    plain, secure = capacity(shop)
    # As many of the one kind as of the other: so many of each take that share of all.
    rate = round(SHARE / (1 / plain + 1 / secure))
    with under_load(shop, rate) as still:
        time.sleep(2 * CHUNK)
    with under_load(shop, rate) as loads:
        for _ in range(count):
            shop.mana("deploy", "shop-backend", "v1")
            shop.mana("rollback", "shop-backend")
            shop.rolled_back()
    told = lambda loads: {name: load.told() for name, load in loads.items()}
    return {"rounds": count, "capacity": {"HTTP/1.1": plain, "HTTP/2": secure}, "each_per_second": rate, "loads": told(loads), "without": told(still)}


def until_the_last(shop, old, command):
    """Seconds from the begin of a command to the last new request that an `old` version answers."""
    seen, lock = [], threading.Lock()

    def watch(stop, _):
        while not stop.is_set():
            sent = time.monotonic()
            status, version = ask(shop.port, "/env/VERSION")
            with lock:
                seen.append((sent, status, version))

    with in_background(watch, 4):
        time.sleep(0.1)
        began = time.monotonic()
        command()
        quiet = time.monotonic()
        # Until nobody got the old one for half a second.
        while time.monotonic() - quiet < 0.5:
            time.sleep(0.02)
            with lock:
                quiet = max([quiet, *(sent for sent, _, version in seen[-200:] if version == old)])
            if time.monotonic() - began > 60:
                raise SystemExit(f"{old} does not go")
    failed = sum(status != 200 for _, status, _ in seen)
    return max([0.0, *(sent - began for sent, _, version in seen if version == old)]), failed


def switches(shop, count):
    shop.gate(WARM)
    shop.mana("deploy", "shop-backend", "v1")
    times, failures = [], 0
    for number in range(count):
        slot, old = ("blue", "v1") if number % 2 == 0 else ("green", "v0")
        took, failed = until_the_last(shop, old, lambda slot=slot: shop.mana("switch", "shop-backend", slot))
        times.append(took)
        failures += failed
    if count % 2:
        shop.mana("switch", "shop-backend", "green")
    warm, failed = until_the_last(shop, "v1", lambda: shop.mana("rollback", "shop-backend"))
    shop.rolled_back()
    return {"times_s": times, "failed": failures}, (warm, failed)


def ways_back(shop, count, first):
    warm, gone, failures = [first[0]], [], first[1]
    for _ in range(count - 1):
        shop.mana("deploy", "shop-backend", "v1")
        took, failed = until_the_last(shop, "v1", lambda: shop.mana("rollback", "shop-backend"))
        shop.rolled_back()
        warm.append(took)
        failures += failed
    shop.gate(QUICK)
    for _ in range(count):
        with in_background(lambda stop, _: [ask(shop.port, "/work") for _ in iter(stop.is_set, True)]):
            shop.mana("deploy", "shop-backend", "v1", "--wait")
        took, failed = until_the_last(shop, "v1", lambda: shop.mana("rollback", "shop-backend"))
        shop.rolled_back()
        gone.append(took)
        failures += failed
    return {"warm_s": warm, "gone_s": gone, "failed": failures}


def bad_releases(shop):
    """What users notice of a bad release, from its first request to when it is stopped."""
    shop.gate("bad")
    found = {}
    for number, (what, wrong) in enumerate(BAD.items()):
        version = f"bad{number}"
        shop.release(version, wrong)
        load = Load()

        def user(stop, _, load=load):
            connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=10)
            while not stop.is_set():
                sent = time.monotonic()
                status, _ = ask(shop.port, "/work", connection)
                took = time.monotonic() - sent
                load.add(1, status != 200, status == 200 and took > LATE, took)
                stop.wait(0.02)
            connection.close()

        began = time.monotonic()
        with in_background(user, USERS):
            # 6: rolled back.
            shop.mana("deploy", "shop-backend", version, allowed=(6,))
        found[what] = {**load.told(), "stopped_after_s": time.monotonic() - began}
    return found


def simulated(binaries):
    """What the two examples of `mana-delivery` print."""
    out = subprocess.run([binaries / "examples/steps"], check=True, capture_output=True, text=True).stdout
    steps = float(re.search(r"([\d.]+) steps/s", out)[1])
    rollouts, events, replay = re.search(r"(\d+) rollouts of (\d+) events each, .*: ([\d.]+) s", out).groups()
    out = subprocess.run([binaries / "examples/canaries"], check=True, capture_output=True, text=True).stdout

    def row(title, rate):
        table = out.split(f"### {title}\n")[1].split("###")[0]
        line = next(line for line in table.splitlines() if line.startswith(f"| {rate} |"))
        passed, stopped, held = re.findall(r"([\d.]+) %", line)[:3]
        return {"of_green": float(line.split("|")[2]), "passed": float(passed), "stopped": float(stopped), "held": float(held)}

    sample = float(re.search(r"const SAMPLE: f64 = ([\d.]+)", (ROOT / "crates/delivery/src/gate/simulation.rs").read_text())[1])
    return {
        "steps_per_second": steps, "year_rollouts": int(rollouts), "events": int(events), "replay_s": float(replay),
        "canaries": int(re.match(r"(\d+) canaries", out)[1]), "requests_per_second": sample,
        "good": row("good: 0.5 % errors, blue as well", f"{sample:g}"), "bad": row("bad: 1 % errors, blue 0.5 %", f"{sample:g}"),
    }


def deaths():
    """The test of the control plane that dies at every entry; it fails where one does not end well or a request fails."""
    command = ["cargo", "test", "--locked", "-q", "-p", "mana-control", "--test", "killed_everywhere", "--", "--nocapture", "--test-threads=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    # Dots of the tests that ended before it may stand before a line.
    rows = re.findall(r"^\.*(a [a-z ]+): killed (\d+) times, (\d+) requests, none failed$", done.stdout, re.MULTILINE)
    return [{"what": what, "kills": int(kills), "requests": int(requests)} for what, kills, requests in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="rollouts and rollbacks under load")
    parser.add_argument("--switches", type=int, default=100)
    parser.add_argument("--ways-back", type=int, default=5)
    parser.add_argument("--debug", action="store_true", help="with the debug binaries; writes nothing")
    parser.add_argument("--only", help="one of: rounds, switches, back, bad, simulated, deaths; measures it anew and leaves the other results as they were")
    options = parser.parse_args()
    binaries = ROOT / "target" / ("debug" if options.debug else "release")
    if not options.debug:
        # With what `make build` builds, so that nothing is built twice.
        build = ["cargo", "build", "--release", "--locked", "--workspace", "--bins", "--example", "instance", "--example", "steps", "--example", "canaries"]
        subprocess.run(build, cwd=ROOT, check=True)
    wanted = lambda name: options.only in (None, name)
    results = {"share": SHARE, "users": USERS}
    with tempfile.TemporaryDirectory(prefix="mana-bench-") as folder:
        shop = Shop(folder, binaries)
        try:
            shop.mana("up")
            shop.release("v1")
            if wanted("rounds"):
                results["rounds"] = rounds(shop, options.rounds)
            if wanted("switches") or wanted("back"):
                results["switches"], first = switches(shop, options.switches)
            if wanted("back"):
                results["back"] = ways_back(shop, options.ways_back, first)
            if wanted("bad"):
                results["bad"] = bad_releases(shop)
        finally:
            shop.mana("down")
    if wanted("simulated"):
        results["simulated"] = simulated(binaries)
    if wanted("deaths"):
        results["deaths"] = deaths()
    if not options.debug:
        target = ROOT / "benches/results/delivery.json"
        target.parent.mkdir(exist_ok=True)
        if options.only and target.exists():
            results = {**json.loads(target.read_text()), **results}
        target.write_text(json.dumps(results, indent=2) + "\n")
    text = json.dumps(results, indent=2)
    print(text)


if __name__ == "__main__":
    main()
