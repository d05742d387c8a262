"""The clients: wrk and h2load as fast as the proxy answers, and the crate's own `load` for what those cannot do."""

import json
import os
import pathlib
import re
import subprocess
import sys

from process import on

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOAD = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/load"


def seconds(text):
    """`1.23ms` as seconds."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[unit]


def output(cores, command):
    done = subprocess.run(on(cores, command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def wrk(cores, url, connections, duration):
    text = output(cores, ["wrk", "--latency", f"-t{len(cores)}", f"-c{connections}", f"-d{duration}s", url])
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return {
        "requests": int(re.search(r"(\d+) requests in", text)[1]),
        "requests_per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
        "p50_seconds": seconds(re.search(r"^\s+50%\s+(\S+)", text, re.MULTILINE)[1]),
        "p99_seconds": seconds(re.search(r"^\s+99%\s+(\S+)", text, re.MULTILINE)[1]),
        "errors": (int(errors[1]) if errors else 0) + (sum(map(int, broken.groups())) if broken else 0),
    }


def h2load(cores, url, connections, duration):
    """Ten streams on each connection. h2load tells no quantiles."""
    text = output(cores, ["h2load", f"-t{len(cores)}", f"-c{connections}", "-m10", f"-D{duration}", url])
    done = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded", text)
    return {
        "requests": int(done[1]),
        "requests_per_second": float(re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", text)[1]),
        "errors": int(done[1]) - int(done[2]),
    }


def load(cores, kind, port, path, **flags):
    given = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    measured = json.loads(output(cores, [str(LOAD), kind, "--address", f"127.0.0.1:{port}", "--path", path, *given]))
    if problem := measured.pop("last_error", None):
        print(f"    {measured['errors']} failed, the last by: {problem}", file=sys.stderr)
    return measured


class WebSockets:
    """Opens them, and holds them until `close`, which tells how many were lost."""

    def __init__(self, cores, port, path, connections):
        command = [str(LOAD), "websockets", "--address", f"127.0.0.1:{port}", "--path", path, "--connections", str(connections)]
        self.child = subprocess.Popen(on(cores, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.child.stdout.readline()
        if not line or json.loads(line)["open"] != connections:
            sys.exit(f"{' '.join(command)}: not all were opened")

    def close(self):
        return json.loads(self.child.communicate()[0])["errors"]
