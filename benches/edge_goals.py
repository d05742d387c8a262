"""What the edge is to reach, and whether it did, from benches/results/edge.json."""

from dataclasses import dataclass

NAMES = {"edge": "mana", "nginx": "nginx", "haproxy": "HAProxy", "caddy": "Caddy"}

# Requests a second: of the best of the others, or of nginx alone.
OF_THE_BEST = ("http1-64", "http1-512", "https1-64", "http2-32", "full", "resumed")
OF_NGINX = ("cached", "static")
TIMES_CADDY = {"http1-64": 4, "http1-512": 4}
MOST_MEMORY_BYTES = 40_000_000
# Processor time for each GiB: within a tenth of nginx's.
CPU_SHARE = 1.1
# Of its cores: a proxy that uses less was not the limit.
BUSY = 0.85
# Two runs of the same thing differ by so much.
NOISE = 1.1
APPLY_SECONDS = 0.005


@dataclass
class Goal:
    what: str
    workers: int
    mana: str
    other: str
    goal: str
    reached: bool


def of(results, workers, workload):
    """The rows of a workload by proxy; none where it was not measured."""
    return {row["proxy"]: row for row in results["results"] if (row["workers"], row["workload"]) == (workers, workload)}


def settings(results):
    """Each workload with its numbers of workers, in the order of the run."""
    return list(dict.fromkeys((row["workload"], row["title"], row["workers"]) for row in sorted(results["results"], key=lambda row: row["workers"])))


def apart(results, workers):
    """Whether the proxy had its cores to itself."""
    places = results.get("places", {}).get(str(workers))
    return places is not None and not set(places["proxy"]) & set(places["load"])


def best(rows, key, lowest=False):
    """The best of the others: its name and its row."""
    others = {proxy: row for proxy, row in rows.items() if proxy != "edge"}
    proxy = (min if lowest else max)(others, key=lambda proxy: others[proxy][key])
    return NAMES[proxy], others[proxy]


def mb(size):
    return f"{size / 1e6:.1f} MB"


def ms(time):
    return f"{time * 1e3:.2f} ms"


def cpu_us(row):
    return row["cpu_user_us_per_request"] + row["cpu_system_us_per_request"]


def busy(row):
    """Cores that the proxy used."""
    return cpu_us(row) * row["requests_per_second"] / 1e6


def rate(row, apart):
    """Requests a second and their processor time; marked where a proxy with cores to itself left too much of them idle."""
    mark = " †" if apart and busy(row) < BUSY * row["workers"] else ""
    return f"{row['requests_per_second']:,.0f}/s{mark} ({cpu_us(row):.1f} µs CPU)"


def throughput(title, workers, workload, rows, apart):
    own = rows["edge"]["requests_per_second"]
    if workload in OF_NGINX:
        name, row = "nginx", rows["nginx"]
    else:
        name, row = best(rows, "requests_per_second")
    other = row["requests_per_second"]
    yield Goal(title, workers, f"{own / other:.2f}: {rate(rows['edge'], apart)}", f"{name}: {rate(row, apart)}", f"≥ 1.00 of {'nginx' if workload in OF_NGINX else 'the best'}", own >= other)
    if (times := TIMES_CADDY.get(workload)) and "caddy" in rows:
        other = rows["caddy"]["requests_per_second"]
        yield Goal(f"{title}, beside Caddy", workers, f"{own / other:.1f} times", f"Caddy: {other:,.0f}/s", f"≥ {times} times Caddy", own >= times * other)


def memory_after_512(workers, rows):
    row = rows["edge"]
    size = row.get("rss_after_bytes", row["pss_after_bytes"])
    kind = "RSS" if "rss_after_bytes" in row else "PSS"
    name, other = best(rows, "pss_after_bytes", lowest=True)
    yield Goal("Resident memory after 512 connections", workers, f"{mb(size)} ({kind})", f"{name}: {mb(other['pss_after_bytes'])} (PSS)", "≤ 40 MB", size <= MOST_MEMORY_BYTES)


def tail(title, workers, rows):
    own = rows["edge"]["p99_seconds"]
    name, row = best(rows, "p99_seconds", lowest=True)
    yield Goal(f"p99: {title[0].lower()}{title[1:]}", workers, ms(own), f"{name}: {ms(row['p99_seconds'])}", "≤ the best", own <= row["p99_seconds"])


def streams(title, workers, rows):
    own, nginx = rows["edge"], rows["nginx"]
    yield Goal(f"{title}: memory (PSS, peak)", workers, mb(own["pss_peak_bytes"]), f"nginx: {mb(nginx['pss_peak_bytes'])}", "≤ nginx", own["pss_peak_bytes"] <= nginx["pss_peak_bytes"])
    ours, theirs = own["cpu_seconds_per_gib"], nginx["cpu_seconds_per_gib"]
    yield Goal(f"{title}: processor time per GiB", workers, f"{ours:.3f} s, {ours / theirs:.2f}", f"nginx: {theirs:.3f} s", "≤ 1.10 of nginx", ours <= CPU_SHARE * theirs)


def websockets(title, workers, rows):
    own, nginx = rows["edge"]["pss_open_bytes"], rows["nginx"]["pss_open_bytes"]
    yield Goal(f"{title}: memory (PSS)", workers, mb(own), f"nginx: {mb(nginx)}", "≤ nginx", own <= nginx)


def swaps(title, workers, row):
    calm, swapped = row["p99_calm_seconds"], row["p99_seconds"]
    yield Goal(f"{title}: p99", workers, ms(swapped), f"without: {ms(calm)}", "unmoved (≤ 1.10)", swapped <= NOISE * calm)
    failed = sum(one["errors"] for one in row["rounds"])
    yield Goal(f"{title}: failed requests", workers, f"{failed:,.0f}", "", "0", failed == 0)
    slowest = max(one["apply_max_seconds"] for one in row["rounds"])
    yield Goal(f"{title}: time to apply", workers, f"{ms(row['apply_seconds'])} (slowest {ms(slowest)})", "", "< 5 ms", row["apply_seconds"] < APPLY_SECONDS)


def goals(results):
    for workload, title, workers in settings(results):
        rows = of(results, workers, workload)
        if "edge" not in rows or (workload != "swaps" and "nginx" not in rows):
            continue
        if workload in OF_THE_BEST + OF_NGINX:
            yield from throughput(title, workers, workload, rows, apart(results, workers))
        if workload == "http1-512":
            yield from memory_after_512(workers, rows)
        elif workload == "rate":
            yield from tail(title, workers, rows)
        elif workload in ("upload", "download"):
            yield from streams(title, workers, rows)
        elif workload == "websockets":
            yield from websockets(title, workers, rows)
        elif workload == "swaps":
            yield from swaps(title, workers, rows["edge"])
