"""What is measured, each by a function that makes one round against one proxy."""

import http.client
import json
import re
import socket
import statistics
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Callable

import clients
from process import Peak
from proxies import HOST, MANY, slots, snapshot

ALL = ("edge", "nginx", "haproxy", "caddy")
GIB = 2**30
BODY_BYTES = 64 * 2**20
# Of nginx's capacity.
SHARE = 0.6
SWAP_SECONDS = 0.2
SWAP_ROUTES = 1000
# A WebSocket is idle from here on: allocators have settled.
SETTLE_SECONDS = 1
# Of the handshakes of a run.
PURE = 0.99


@dataclass
class Workload:
    title: str
    measure: Callable
    connections: int
    proxies: tuple = ALL
    options: dict = field(default_factory=dict)
    # Measured once before the rounds, uncounted.
    warm: bool = True
    # Each round has a proxy of its own.
    fresh: bool = False


class Unix(http.client.HTTPConnection):
    """HTTP over the edge's admin socket."""

    def __init__(self, path):
        super().__init__("edge", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(admin, method, path, body=None):
    """Status and text of an answer, and seconds until it was there."""
    begin = time.perf_counter()
    connection = Unix(admin)
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read()
    took = time.perf_counter() - begin
    connection.close()
    return answer.status, text.decode(), took


def per_request(process, measure):
    """What `measure` tells, with the proxy's processor time for each request."""
    user, system = process.cpu_seconds()
    measured = measure()
    user_after, system_after = process.cpu_seconds()
    requests = max(measured.pop("requests"), 1)
    measured["cpu_user_us_per_request"] = (user_after - user) * 1e6 / requests
    measured["cpu_system_us_per_request"] = (system_after - system) * 1e6 / requests
    return measured


def as_fast_as_possible(bench, proxy, workload, duration):
    tool, path, tls = (workload.options.get(key) for key in ("tool", "path", "tls"))
    url = f"{'https' if tls else 'http'}://{HOST}:{proxy.place.secure if tls else proxy.place.plain}{path}"
    return per_request(proxy.process, lambda: tool(bench.places.load, url, workload.connections, duration))


def handshake_counts(proxy):
    _, text, _ = ask(proxy.place.admin, "GET", "/metrics")
    return {kind: int(re.search(rf'tls_handshakes_total{{result="{kind}"}} (\d+)', text)[1]) for kind in ("full", "resumed")}


def handshakes(bench, proxy, workload, duration):
    """Fails where connections were not of the kind that is measured, by what the client saw and, for the edge, by what it counted."""
    kind = workload.options["kind"]
    before = handshake_counts(proxy) if proxy.name == "edge" else None
    resume = "yes" if kind == "resumed" else "no"
    measured = per_request(proxy.process, lambda: clients.load(
        bench.places.load, "handshakes", proxy.place.secure, "/1k", resume=resume, connections=workload.connections, seconds=duration))
    seen = {"full": measured.pop("full"), "resumed": measured.pop("resumed")}
    counts = [seen]
    if before:
        after = handshake_counts(proxy)
        counted = {key: after[key] - before[key] for key in after}
        # The first one of each connection is full, and not measured.
        counted["full"] -= workload.connections
        counts.append(counted)
    for one in counts:
        if one[kind] < PURE * sum(one.values()):
            sys.exit(f"{proxy.name}: {one} where all should be {kind}: this does not measure what it says")
    return measured


def capacity(bench):
    """nginx's requests a second at 64 connections, measured once for a number of workers, before whatever refers to it."""
    if bench.capacity is None:
        with bench.started(["nginx"], "capacity") as (nginx,):
            url = f"http://{HOST}:{nginx.place.plain}/1k"
            rounds = [clients.wrk(bench.places.load, url, 64, bench.seconds)["requests_per_second"] for _ in range(min(3, bench.rounds))]
        bench.capacity = statistics.median(rounds)
        print(f"  {bench.workers} workers: nginx is capable of {bench.capacity:.0f}/s", file=sys.stderr)
    return bench.capacity


def fixed_rate(bench, proxy, workload, duration):
    rate = round(SHARE * capacity(bench))
    measured = per_request(proxy.process, lambda: clients.load(
        bench.places.load, "rate", proxy.place.plain, "/1k", rate=rate, connections=workload.connections, seconds=duration))
    return {**measured, "asked_per_second": rate}


def bodies(bench, proxy, workload, duration):
    direction = workload.options["direction"]
    before = sum(proxy.process.cpu_seconds())
    with Peak(proxy.process) as peak:
        measured = clients.load(
            bench.places.load, direction, proxy.place.plain, f"/stream/{direction}",
            bytes=BODY_BYTES, connections=workload.connections, seconds=duration)
    cpu = sum(proxy.process.cpu_seconds()) - before
    measured["cpu_seconds_per_gib"] = cpu / max(measured.pop("bytes") / GIB, 1e-9)
    measured.pop("requests")
    return {**measured, "pss_peak_bytes": peak.bytes}


def websockets(bench, proxy, workload, _duration):
    before = proxy.process.memory_bytes()
    held = clients.WebSockets(bench.places.load, proxy.place.plain, "/stream/ws", workload.connections)
    time.sleep(SETTLE_SECONDS)
    opened = proxy.process.memory_bytes()
    errors = held.close()
    return {"pss_before_bytes": before, "pss_open_bytes": opened, "bytes_per_connection": (opened - before) / workload.connections, "errors": errors}


class Swaps:
    """Puts one of two snapshots of a thousand routes, alternately; the route under load is in both."""

    def __init__(self, place):
        self.place, self.generation, self.seconds, self.refused = place, 1, [], 0
        own = len(snapshot(place)["routes"])
        self.bodies = [
            json.dumps(snapshot(place, 0, [
                {"name": f"service-{number}", "hosts": [f"service-{number}.{MANY}"], "target": slots(f"{release}-{number}", place.upstream, release)}
                for number in range(SWAP_ROUTES - own)
            ]))
            for release in ("v1", "v2")
        ]

    def put(self):
        self.generation += 1
        body = self.bodies[self.generation % 2].replace('"generation": 0', f'"generation": {self.generation}', 1)
        status, text, took = ask(self.place.admin, "PUT", "/snapshot", body)
        if status != 200:
            self.refused += 1
            print(f"    snapshot refused: {status} {text}", file=sys.stderr)
        return took

    def while_running(self, measure):
        ended = threading.Event()

        def swap():
            while not ended.wait(SWAP_SECONDS):
                self.seconds.append(self.put())

        thread = threading.Thread(target=swap)
        thread.start()
        try:
            return measure()
        finally:
            ended.set()
            thread.join()


def swaps(bench, proxy, workload, duration):
    """The same rate with snapshots swapped and without."""
    swapped = Swaps(proxy.place)
    swapped.put()
    turns = {"swapped": lambda: swapped.while_running(rate), "calm": lambda: rate()}
    rate = lambda: fixed_rate(bench, proxy, workload, duration)
    order = list(turns) if bench.turn % 2 else list(reversed(turns))
    measured = {name: turns[name]() for name in order}
    own = measured["swapped"]
    return {
        **own,
        "p99_calm_seconds": measured["calm"]["p99_seconds"],
        "p999_calm_seconds": measured["calm"]["p999_seconds"],
        "errors": own["errors"] + measured["calm"]["errors"] + swapped.refused,
        "swaps": len(swapped.seconds),
        "apply_seconds": statistics.median(swapped.seconds),
        "apply_max_seconds": max(swapped.seconds),
    }


def fast(title, connections, tool, path, tls=False, proxies=ALL):
    return Workload(title, as_fast_as_possible, connections, proxies, {"tool": tool, "path": path, "tls": tls})


WORKLOADS = {
    "http1-64": fast("HTTP/1.1, 64 connections", 64, clients.wrk, "/1k"),
    "http1-512": fast("HTTP/1.1, 512 connections", 512, clients.wrk, "/1k"),
    "https1-64": fast("HTTPS, HTTP/1.1, 64 connections", 64, clients.wrk, "/1k", tls=True),
    "http2-32": fast("HTTPS, HTTP/2, 32 connections of 10 streams", 32, clients.h2load, "/1k", tls=True),
    "full": Workload("New TLS connections, full handshake and one request", handshakes, 32, options={"kind": "full"}),
    "resumed": Workload("New TLS connections, resumed and one request", handshakes, 32, options={"kind": "resumed"}),
    "rate": Workload("A fixed rate, 60 % of nginx's capacity, 256 connections", fixed_rate, 256, warm=False),
    "cached": fast("Kept answer of 10 KiB, 64 connections", 64, clients.wrk, "/cached", proxies=("edge", "nginx")),
    "static": fast("File of 100 KiB, 64 connections", 64, clients.wrk, "/static/100k", proxies=("edge", "nginx", "caddy")),
    "upload": Workload("Uploads of 64 MiB, 8 at a time", bodies, 8, options={"direction": "up"}, warm=False),
    "download": Workload("Downloads of 64 MiB, 8 at a time", bodies, 8, options={"direction": "down"}, warm=False),
    "websockets": Workload("1,000 idle WebSockets", websockets, 1000, warm=False, fresh=True),
    "swaps": Workload("Snapshots of 1,000 routes swapped five times a second", swaps, 256, ("edge",), warm=False, fresh=True),
}
