#!/usr/bin/env python3
"""The edge beside nginx, HAProxy and Caddy: one machine, one run, interleaved rounds, medians.

Every proxy does the same work: keep-alive both ways, X-Forwarded-For/-Proto/-Host, an x-request-id, no access log, the
same number of workers, in front of the same nginx that answers 1 KiB. Rounds alternate between the proxies, so that a
noisy minute hits all of them. Beside throughput and latency, the processor time of the proxy for each request is
reported, which says most on a machine where clients and upstream share its cores.

What is measured is one of WORKLOADS: plain and TLS, HTTP/1.1 and HTTP/2, new TLS connections, kept answers, files.

    cargo build --release -p mana-edge --example edge
    benches/edge/run.py                      # some twenty minutes; writes benches/results/edge.json
    benches/edge/run.py --rounds 1 --seconds 1 --workers 1 --workloads http1-64,cached
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOST = "localhost"
TICKS = os.sysconf("SC_CLK_TCK")
START_TIMEOUT_SECONDS = 30

# name: what is asked, how, over how many connections, and who can do it at all.
ALL = ("edge", "nginx", "haproxy", "caddy")
WORKLOADS = {
    "http1-64": {"title": "HTTP/1.1, 64 connections", "tool": "wrk", "path": "/1k", "connections": 64, "proxies": ALL},
    "http1-512": {"title": "HTTP/1.1, 512 connections", "tool": "wrk", "path": "/1k", "connections": 512, "proxies": ALL},
    "https1-64": {"title": "HTTPS, HTTP/1.1, 64 connections", "tool": "wrk", "tls": True, "path": "/1k", "connections": 64, "proxies": ALL},
    "http2-32": {"title": "HTTPS, HTTP/2, 32 connections of 10 streams", "tool": "h2load", "tls": True, "path": "/1k", "connections": 32, "proxies": ALL},
    "handshakes": {"title": "New TLS connections, full handshake and one request", "tool": "wrk", "tls": True, "path": "/1k", "options": ["-H", "Connection: close"], "connections": 32, "proxies": ALL},
    "cached": {"title": "Kept answer of 10 KiB, 64 connections", "tool": "wrk", "path": "/cached", "connections": 64, "proxies": ("edge", "nginx")},
    "static": {"title": "File of 100 KiB, 64 connections", "tool": "wrk", "path": "/static/100k", "connections": 64, "proxies": ("edge", "nginx", "caddy")},
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(name, port):
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"{name} does not answer on 127.0.0.1:{port} within {START_TIMEOUT_SECONDS} s")


def nginx_upstream(folder, port, workers):
    (folder / "www").mkdir()
    (folder / "www" / "1k").write_bytes(b"x" * 1024)
    (folder / "www" / "cached").write_bytes(b"x" * 10 * 1024)
    (folder / "static").mkdir()
    (folder / "static" / "100k").write_bytes(b"x" * 100 * 1024)
    config = folder / "upstream.conf"
    config.write_text(f"""
worker_processes {workers}; daemon off; pid {folder}/upstream.pid; error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; open_file_cache max=10;
  server {{ listen 127.0.0.1:{port} reuseport; root {folder}/www; location /cached {{ expires 1h; }} }}
}}
""")
    return ["nginx", "-e", "stderr", "-c", str(config)]


def certify(folder):
    """A certificate of the usual kind (P-256), the same for all."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    name = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    subprocess.run(["openssl", "req", "-x509", *curve, *name, "-days", "2", "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    (folder / "both.pem").write_text(certificate.read_text() + key.read_text())
    for file in (key, folder / "both.pem"):
        file.chmod(0o600)


def edge(folder, port, secure, upstream, workers, binary):
    config = folder / f"edge-{workers}.json"
    instance = {"id": "upstream-1", "address": f"127.0.0.1:{upstream}"}
    slot = {"name": "blue", "release": "v1", "weight": 1, "instances": [instance]}
    config.write_text(json.dumps({
        "generation": 1,
        "listeners": [{"address": f"127.0.0.1:{port}"}, {"address": f"127.0.0.1:{secure}", "tls": True}],
        "routes": [
            {"name": "bench", "hosts": [HOST], "target": {"slots": [slot]}},
            {"name": "files", "hosts": [HOST], "path": "/static", "target": {"static": {"root": str(folder / "static")}}},
        ],
        "tls": {"certificates": [{"certificate": str(folder / "certificate.pem"), "key": str(folder / "key.pem")}]},
    }))
    return [*binary, "--config", str(config), "--threads", str(workers)]


def nginx(folder, port, secure, upstream, workers, _binary):
    config = folder / f"nginx-{workers}.conf"
    config.write_text(f"""
worker_processes {workers}; daemon off; pid {folder}/nginx-{workers}.pid; error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000;
  upstream backend {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  proxy_cache_path {folder}/cache-{workers} keys_zone=kept:10m;
  ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:sessions:10m; ssl_session_tickets on;
  open_file_cache max=10;
  server {{
    listen 127.0.0.1:{port} reuseport; listen 127.0.0.1:{secure} ssl http2 reuseport; server_name {HOST};
    location /static/ {{ root {folder}; }}
    location /cached {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_cache kept; add_header X-Request-Id $request_id; }}
    location / {{
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Request-Id $request_id;
      add_header X-Request-Id $request_id;
    }}
  }}
}}
""")
    return ["nginx", "-e", "stderr", "-c", str(config)]


def haproxy(folder, port, secure, upstream, workers, _binary):
    config = folder / f"haproxy-{workers}.cfg"
    config.write_text(f"""
global
  nbthread {workers}
  maxconn 8192
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend in
  bind 127.0.0.1:{port}
  bind 127.0.0.1:{secure} ssl crt {folder}/both.pem alpn h2,http/1.1
  option forwardfor
  unique-id-format %[uuid]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Request-Id %[unique-id]
  http-response set-header X-Request-Id %[unique-id]
  acl ours req.hdr(host),host_only -m str {HOST}
  use_backend out if ours
backend out
  server one 127.0.0.1:{upstream} maxconn 8192 pool-max-conn 1024
""")
    return ["haproxy", "-q", "-f", str(config)]


def caddy(folder, port, secure, upstream, workers, _binary):
    config = folder / f"caddy-{workers}.json"
    handler = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"127.0.0.1:{upstream}"}],
        "transport": {"protocol": "http", "keep_alive": {"max_idle_conns_per_host": 1024}},
        "headers": {
            "request": {"set": {"X-Request-Id": ["{http.request.uuid}"]}},
            "response": {"set": {"X-Request-Id": ["{http.request.uuid}"]}},
        },
    }
    files = {"handler": "file_server", "root": str(folder)}
    routes = [{"match": [{"host": [HOST], "path": ["/static/*"]}], "handle": [files]}, {"match": [{"host": [HOST]}], "handle": [handler]}]
    config.write_text(json.dumps({
        "admin": {"disabled": True},
        "logging": {"logs": {"default": {"level": "ERROR"}}},
        "apps": {
            "tls": {"certificates": {"load_files": [{"certificate": str(folder / "certificate.pem"), "key": str(folder / "key.pem")}]}},
            "http": {"servers": {
                "plain": {"listen": [f"127.0.0.1:{port}"], "automatic_https": {"disable": True}, "routes": routes},
                "secure": {
                    "listen": [f"127.0.0.1:{secure}"],
                    "automatic_https": {"disable": True},
                    "tls_connection_policies": [{}],
                    "routes": routes,
                },
            }},
        },
    }))
    return ["caddy", "run", "--config", str(config)]


PROXIES = {"edge": edge, "nginx": nginx, "haproxy": haproxy, "caddy": caddy}


class Process:
    """A program and its children."""

    def __init__(self, command, folder, environment=None):
        environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), **(environment or {})}
        self.child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

    def pids(self):
        found, queue = [], [self.child.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                queue += [int(child) for child in (task / "children").read_text().split()]
        return found

    def cpu_seconds(self):
        """User and system time so far."""
        user = system = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            user, system = user + int(fields[11]), system + int(fields[12])
        return user / TICKS, system / TICKS

    def pss_bytes(self):
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def seconds(text):
    """`1.23ms` as seconds."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[unit]


def wrk(url, workload, threads, duration):
    command = ["wrk", "--latency", f"-t{threads}", f"-c{workload['connections']}", f"-d{duration}s", *workload.get("options", []), url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    return {
        "requests": int(re.search(r"(\d+) requests in", output)[1]),
        "requests_per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]),
        "p50_seconds": seconds(re.search(r"^\s+50%\s+(\S+)", output, re.MULTILINE)[1]),
        "p99_seconds": seconds(re.search(r"^\s+99%\s+(\S+)", output, re.MULTILINE)[1]),
        "errors": (int(errors[1]) if errors else 0) + (sum(map(int, broken.groups())) if broken else 0),
    }


def h2load(url, workload, threads, duration):
    """Streams of HTTP/2. h2load gives no quantiles."""
    command = ["h2load", f"-t{threads}", f"-c{workload['connections']}", "-m10", f"-D{duration}", url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    done = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded", output)
    return {
        "requests": int(done[1]),
        "requests_per_second": float(re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", output)[1]),
        "errors": int(done[1]) - int(done[2]),
    }


TOOLS = {"wrk": wrk, "h2load": h2load}


def measure(process, ports, threads, workload, duration):
    """One run of a client against one proxy."""
    scheme, port = ("https", ports[1]) if workload.get("tls") else ("http", ports[0])
    url = f"{scheme}://{HOST}:{port}{workload.get('path', '/')}"
    user, system = process.cpu_seconds()
    measured = TOOLS[workload["tool"]](url, workload, threads, duration)
    user_after, system_after = process.cpu_seconds()
    requests = max(measured.pop("requests"), 1)
    measured["cpu_user_us_per_request"] = (user_after - user) * 1e6 / requests
    measured["cpu_system_us_per_request"] = (system_after - system) * 1e6 / requests
    return measured


def median(rounds):
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def version(*command):
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    return (output.stdout + output.stderr).strip().splitlines()[0]


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def find_edge(given):
    """The edge's command: `mana edge`, or the example program of the crate."""
    if given:
        return given.split()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    for command in ([str(target / "mana"), "edge"], [str(target / "examples" / "edge")]):
        if pathlib.Path(command[0]).exists():
            return command
    sys.exit(f"no edge in {target}: build it first (cargo build --release -p mana-edge --example edge)")


def run(arguments):
    names = [name for name in arguments.proxies if name == "edge" or shutil.which(name)]
    missing = set(arguments.proxies) - set(names)
    tools = [tool for tool in ("nginx", "wrk", "h2load", "openssl") if not shutil.which(tool)]
    if missing:
        print(f"not there, and left out: {', '.join(sorted(missing))} (apt-get install haproxy caddy)", file=sys.stderr)
    if tools:
        sys.exit(f"missing: {', '.join(tools)} (apt-get install nginx wrk nghttp2-client openssl)")
    binary = find_edge(arguments.edge)
    results = []
    with tempfile.TemporaryDirectory(prefix="bench-edge-") as name:
        folder = pathlib.Path(name)
        # nginx started by root gives its workers to nobody, who must be able to enter.
        folder.chmod(0o755)
        certify(folder)
        upstream_port = free_port()
        running = [Process(nginx_upstream(folder, upstream_port, len(os.sched_getaffinity(0))), folder)]
        try:
            wait_for("upstream", upstream_port)
            for workers in arguments.workers:
                results += run_workers(arguments, names, binary, folder, upstream_port, workers, running)
        finally:
            for process in running:
                process.stop()
    return results


def run_workers(arguments, names, binary, folder, upstream, workers, running):
    proxies = {}
    for name in names:
        ports = free_port(), free_port()
        command = PROXIES[name](folder, *ports, upstream, workers, binary)
        process = Process(command, folder, {"GOMAXPROCS": str(workers)})
        running.append(process)
        proxies[name] = (process, ports)
    for name, (_, ports) in proxies.items():
        for port in ports:
            wait_for(name, port)
    idle = {name: process.pss_bytes() for name, (process, _) in proxies.items()}
    results = []
    for key in arguments.workloads:
        workload = WORKLOADS[key]
        able = [name for name in names if name in workload["proxies"]]
        rounds = {name: [] for name in able}
        for turn in range(arguments.rounds):
            # Each round begins with another one, so that none is always first after a pause.
            first = turn % len(able)
            for name in able[first:] + able[:first]:
                process, ports = proxies[name]
                rounds[name].append(measure(process, ports, workers, workload, arguments.seconds))
                print(f"  {workers} workers, {key}, round {turn + 1}: {name:8} {rounds[name][-1]['requests_per_second']:8.0f}/s", file=sys.stderr)
        for name in able:
            results.append({
                "proxy": name,
                "workers": workers,
                "workload": key,
                "title": workload["title"],
                "connections": workload["connections"],
                **median(rounds[name]),
                "pss_idle_bytes": idle[name],
                "pss_after_bytes": proxies[name][0].pss_bytes(),
                "rounds": rounds[name],
            })
    for process, _ in proxies.values():
        process.stop()
        running.remove(process)
    return results


def table(results):
    print("\n| workers | workload | proxy | requests/s | of the best other | CPU µs/request | PSS MB | errors |")
    print("|---|---|---|---|---|---|---|---|")
    for row in results:
        others = [other["requests_per_second"] for other in results if other["proxy"] != "edge" and all(other[key] == row[key] for key in ("workers", "workload"))]
        share = f"{row['requests_per_second'] / max(others):.2f}" if others else ""
        print(
            f"| {row['workers']} | {row['workload']} | {row['proxy']} | {row['requests_per_second']:.0f} | {share} "
            f"| {row['cpu_user_us_per_request'] + row['cpu_system_us_per_request']:.1f} "
            f"| {row['pss_after_bytes'] / 1e6:.1f} | {row['errors']:.0f} |"
        )


def main():
    cores = len(os.sched_getaffinity(0))
    numbers = lambda text: [cores if part == "all" else int(part) for part in text.split(",")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", help="command of the edge, when it is not in the target folder")
    parser.add_argument("--proxies", type=lambda text: text.split(","), default=list(PROXIES))
    parser.add_argument("--workers", type=numbers, default=sorted({1, cores}), help="1,all")
    parser.add_argument("--workloads", type=lambda text: text.split(","), default=list(WORKLOADS), help=", ".join(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "benches" / "results" / "edge.json")
    arguments = parser.parse_args()
    about = {
        "machine": machine(),
        "versions": {
            "nginx": version("nginx", "-v"),
            "haproxy": version("haproxy", "-v"),
            "caddy": version("caddy", "version"),
            "wrk": version("wrk", "-v"),
            "h2load": version("h2load", "--version"),
            "openssl": version("openssl", "version"),
            "edge": version("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        },
        "command": " ".join(["benches/edge/run.py", *sys.argv[1:]]),
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "body_bytes": 1024,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
    }
    results = run(arguments)
    table(results)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps({**about, "results": results}, indent=1) + "\n")
    print(f"\nwritten: {arguments.output}")


if __name__ == "__main__":
    main()
