#!/usr/bin/env python3
"""Measures watching beside Prometheus: memory and processor time at 50 services of 200 series each, queries over the same samples, bytes a sample, how soon an alert is told, and the first paint of the dashboard with a year
stored. Writes benches/results/watch.json. Uses data folders and ports of its own, and the release binaries."""

import argparse
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from local import Results, free_port, wait

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
TICKS = os.sysconf("SC_CLK_TCK")
SERVICES = 50
WARM_SECONDS = 60
BREACHES = 5
QUERY_ROUNDS = 15
PAINTS = 5
KILLS = 200
# What the control plane says as long as it opens the store.
OPENING = "the stored series are not open yet"
QUERIES = {
    "p95, 10 services, 24 h, each minute": ("histogram_quantile(0.95, sum by (service, le) (rate(http_request_duration_seconds_bucket[5m])))", 24 * 3600, 60),
    "p95, 1 service, 90 d, each 4 h": ('histogram_quantile(0.95, sum by (service, le) (rate(http_request_duration_seconds_bucket{service="service-0"}[4h])))', 90 * 24 * 3600, 4 * 3600),
}


class Ecosystem:
    """A manifest of services in a folder of its own."""

    def __init__(self, folder, services, more=""):
        self.folder, self.edge, self.more = pathlib.Path(folder), free_port(), more
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = [f'name = "bench"\ndomain = "bench.example"\n[projects]\nbench = {{}}\n[environments.development]\nlisten = "127.0.0.1:{self.edge}"\n']
        for name in services:
            command = BINARIES / "examples/target"
            parts.append(f'[services.{name}]\nkind = "backend"\nproject = "bench"\ncommand = "{command}"\nhost = "{name}"\nport = {free_port()}\n')
        (self.folder / "mana.toml").write_text("".join(parts) + more)

    def run(self, *arguments):
        command = [BINARIES / "mana", "--manifest", self.folder / "mana.toml", "--data", self.folder / "data", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    @staticmethod
    def good(done):
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, done.args))}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done.stdout

    def mana(self, *arguments):
        return self.good(self.run(*arguments))

    def status(self):
        return json.loads(self.mana("status", "--json"))

    def query(self, expression):
        """The value; None where there is none, or the store is being opened: `wait` bounds both."""
        done = self.run("query", expression, "--json")
        if done.returncode != 0 and OPENING in done.stderr:
            return None
        result = json.loads(self.good(done))["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def token(self):
        return json.loads(self.mana("token", "create", "bench", "--scope", "read", "--json"))["token"]

    def __enter__(self):
        self.mana("up")
        return self

    def __exit__(self, *_):
        self.mana("down")


@contextlib.contextmanager
def prometheus(folder, config, *options):
    """Debian's, with its defaults but for where it is."""
    folder = pathlib.Path(folder)
    (folder / "prometheus.yml").write_text(config)
    port = free_port()
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}", *options]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait("Prometheus answers", lambda: answers(port, "/-/ready"), 60)
        yield process.pid, port, folder / "data"
    finally:
        process.terminate()
        process.wait(30)


def answers(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pss(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[1]) * 1024


def scraping(folder, minutes):
    """The same targets, the same interval, at the same time."""
    names = [f"service-{number}" for number in range(SERVICES)]
    with Ecosystem(pathlib.Path(folder) / "mana", names) as ecosystem:
        status = ecosystem.status()
        ports = [instance["port"] for service in status["services"] for instance in service["instances"] if service["name"] in names]
        if len(ports) != SERVICES:
            raise SystemExit(f"{len(ports)} of {SERVICES} targets run")
        targets = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
        config = f"global:\n  scrape_interval: 10s\nscrape_configs:\n- job_name: bench\n  static_configs:\n  - targets: [{targets}]\n"
        (pathlib.Path(folder) / "prometheus").mkdir()
        with prometheus(pathlib.Path(folder) / "prometheus", config) as (theirs, port, _):
            pids = {"mana": status["control_pid"], "prometheus": theirs}
            time.sleep(WARM_SECONDS)
            before, most = {name: processor_seconds(pid) for name, pid in pids.items()}, dict.fromkeys(pids, 0)
            began = time.monotonic()
            while time.monotonic() - began < minutes * 60:
                time.sleep(5)
                for name, pid in pids.items():
                    most[name] = max(most[name], pss(pid))
            took = time.monotonic() - began
            cores = {name: (processor_seconds(pid) - before[name]) / took for name, pid in pids.items()}
            series = {"mana": ecosystem.query("mana_watch_series"), "prometheus": headed(port)}
    return {"services": SERVICES, "minutes": minutes, "memory_bytes": most, "cores": cores, "series": series}


def headed(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/api/v1/status/tsdb")
    return json.loads(connection.getresponse().read())["data"]["headStats"]["numSeries"]


def size(folder):
    return sum(one.stat().st_blocks * 512 for one in pathlib.Path(folder).rglob("*") if one.is_file())


def filled(folder):
    """The same samples in a store of mana's and in blocks of Prometheus' own making. Made in memory, since the store syncs each of its rounds."""
    with tempfile.TemporaryDirectory(prefix="mana-bench-", dir="/dev/shm") as made:
        series, texts = pathlib.Path(made) / "series", pathlib.Path(made) / "texts"
        texts.mkdir()
        out = subprocess.run([BINARIES / "examples/beside", series, texts], check=True, capture_output=True, text=True).stdout
        shutil.copytree(series, folder / "mana/data/series")
        blocks = folder / "prometheus/data"
        for text in sorted(texts.iterdir()):
            command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=486h", text, blocks]
            subprocess.run(command, check=True, capture_output=True)
            text.unlink()
    return json.loads(out)["samples"]


def queries(folder):
    """Each asked over HTTP at its own door: mana through its edge and with a token, Prometheus directly."""
    folder = pathlib.Path(folder)
    (folder / "prometheus").mkdir(parents=True)
    (folder / "mana").mkdir()
    # As mana would make it: for its user alone.
    (folder / "mana/data").mkdir(mode=0o700)
    samples = filled(folder)
    end = int(time.time()) // 60 * 60 - 120
    with prometheus(folder / "prometheus", "global: {}\n", "--storage.tsdb.retention.time=200d") as (_, port, data), Ecosystem(folder / "mana", ["one"]) as ecosystem:
        token = ecosystem.token()
        wait("the store is read", lambda: ecosystem.query("mana_watch_series"), 60)
        doors = {"mana": (ecosystem.edge, "/api/v1/query_range", {"Host": "ops.localhost", "authorization": f"Bearer {token}"}), "prometheus": (port, "/api/v1/query_range", {})}
        found = {}
        for what, (expression, length, step) in QUERIES.items():
            times, points = {name: [] for name in doors}, {}
            form = urllib.parse.urlencode({"query": expression, "start": end - length, "end": end, "step": step})
            for turn in range(QUERY_ROUNDS):
                for name in list(doors)[:: 1 if turn % 2 else -1]:
                    at, path, headers = doors[name]
                    connection = http.client.HTTPConnection("127.0.0.1", at, timeout=60)
                    connection.connect()
                    began = time.monotonic()
                    connection.request("GET", f"{path}?{form}", headers={**headers, "accept-encoding": "identity"})
                    answer = connection.getresponse()
                    body = answer.read()
                    times[name].append(time.monotonic() - began)
                    connection.close()
                    if answer.status != 200:
                        raise SystemExit(f"{name} answers {answer.status} to {what}: {body[:500]}")
                    series = json.loads(body)["data"]["result"]
                    points[name] = [len(series), sum(len(one["values"]) for one in series)]
            # Ours may lack the first points, where coarser samples are left; otherwise both have the same to do.
            if points["mana"][0] != points["prometheus"][0] or points["mana"][1] < 0.99 * points["prometheus"][1]:
                raise SystemExit(f"{what}: not the same is answered: {points}")
            found[what] = {"expression": expression, "times_s": times, "series_and_points": points}
        return {"samples": samples, "disk_bytes": {"mana": size(folder / "mana/data/series"), "prometheus": size(data)}, "queries": found}


def alerts(folder):
    """From a value that breaches to the webhook."""
    heard, more = {}, ""

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            for number in re.findall(r"breach-(\d)", body):
                heard.setdefault(int(number), time.monotonic())
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    names = [f"target-{number}" for number in range(BREACHES)]
    more += f'[notifications.hook]\nkind = "webhook"\nurl = "http://127.0.0.1:{hook.server_port}/"\nevents = ["alert"]\n'
    for number, name in enumerate(names):
        more += f'[alerts.breach-{number}]\nexpression = \'bench_breach{{service="{name}"}} > 0\'\nseverity = "P2"\nsummary = "breach-{number}"\n'
    times = []
    with Ecosystem(folder, names, more) as ecosystem:
        ports = {service["name"]: service["instances"][0]["port"] for service in ecosystem.status()["services"] if service["name"] in names}
        wait("the targets are scraped", lambda: ecosystem.query("count(bench_breach)") == BREACHES, 60)
        for number, name in enumerate(names):
            # At another moment of the interval each time.
            time.sleep(2.3)
            if not answers(ports[name], "/breach/1"):
                raise SystemExit(f"{name} does not answer")
            began = time.monotonic()
            times.append(wait(f"the webhook hears of breach-{number}", lambda number=number: heard.get(number), 120) - began)
    hook.shutdown()
    return {"interval_s": 10, "times_s": times}


def paint(folder):
    # Those that `year` has the series of.
    with Ecosystem(folder, [f"service-{number}" for number in range(SERVICES)]) as ecosystem:
        pass
    # In memory, since the store syncs each of its rounds.
    with tempfile.TemporaryDirectory(prefix="mana-bench-", dir="/dev/shm") as made:
        subprocess.run([BINARIES / "examples/year", made], check=True, capture_output=True)
        shutil.copytree(pathlib.Path(made) / "series", ecosystem.folder / "data/series", dirs_exist_ok=True)
    began = time.monotonic()
    with ecosystem:
        wait("the store is read", lambda: ecosystem.query("mana_watch_series"), 60)
        opened = time.monotonic() - began
        variables = {**os.environ, "URL": f"http://ops.localhost:{ecosystem.edge}/", "TOKEN": ecosystem.token(), "ROUNDS": str(PAINTS)}
        out = subprocess.run(["node", "paint.mjs"], cwd=ROOT / "ui", env=variables, check=True, capture_output=True, text=True).stdout
        return {"rounds": [json.loads(line) for line in out.splitlines()], "control_bytes": pss(ecosystem.status()["control_pid"]), "opened_s": opened}


def stored():
    """What the store's own example prints: a day of 50 services, simulated."""
    with tempfile.TemporaryDirectory(prefix="mana-bench-") as folder:
        out = subprocess.run([BINARIES / "examples/store", "24", folder], check=True, capture_output=True, text=True).stdout
    each = float(re.search(r"^raw\s.*?([\d.]+) bytes a sample", out, re.MULTILINE)[1])
    gorilla = float(re.search(r"Gorilla alone\s+([\d.]+)", out)[1])
    resident, before, own = map(float, re.search(r"resident at most ([\d.]+) MB; ([\d.]+) MB were there before, ([\d.]+)", out).groups())
    return {"bytes_a_sample": each, "gorilla_bytes_a_sample": gorilla, "memory_mb": resident - before - own}


def kills():
    """The test of the store that is killed while it takes samples; it fails where one that was acknowledged is gone."""
    command = ["cargo", "test", "--locked", "-q", "-p", "mana-watch", "--test", "store_killed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "MANA_KILLS": str(KILLS)})
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return {"kills": KILLS}


PARTS = {"scraping": None, "queries": queries, "alerts": alerts, "paint": paint, "stored": lambda _: stored(), "kills": lambda _: kills()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="of scraping that are measured")
    parser.add_argument("--only", help=f"one of: {', '.join(PARTS)}; measures it anew and leaves the other results as they were")
    options = parser.parse_args()
    build = ["cargo", "build", "--release", "--locked", "--workspace", "--bins", *(f"--example={name}" for name in ("target", "beside", "store", "year"))]
    subprocess.run(build, cwd=ROOT, check=True)
    kept = Results("watch", begins_anew=options.only is None)
    for name, part in PARTS.items():
        if options.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="mana-bench-") as folder:
                kept.keep(**{name: scraping(folder, options.minutes) if part is None else part(folder)})


if __name__ == "__main__":
    main()
