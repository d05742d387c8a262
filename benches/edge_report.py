"""The part of docs/BENCHMARKS.md about the edge and its peers, from benches/results/edge.json and benches/edge/analysis.md."""

import pathlib

from edge_goals import NAMES, apart, best, busy, cpu_us, goals, of, settings

ANALYSIS = pathlib.Path(__file__).with_name("edge") / "analysis.md"

METHOD = """\
Every proxy stands before the same nginx, keeps connections alive both ways, sets `X-Forwarded-*` and `x-request-id`, writes no access log, has the same
certificate (P-256) and the same number of workers; `benches/edge/proxies.py` has their configurations. Answers are of 1 KiB where nothing else is said.

- **Rounds.** {rounds} of {seconds} s for each proxy and workload, interleaved, each beginning with another proxy; medians. Proxies are started anew for each workload, and
  warmed up.
- **Cores.** {places} Clients and upstream are placed alike for all. A proxy with a core to itself is neither
  disturbed nor helped, as long as it is the limit: the upstream answers 1 KiB from memory, so that clients and upstream together need less time for a request than a proxy does.
  *Cores busy* is how much of its cores a proxy used; † marks a proxy that was not the limit (below 0.85 of them), where the processor time for each request says more
  than the ratio. Where all share all cores, it always does.
- **Clients.** wrk, h2load, and `benches/load` for what those cannot do: new TLS connections (TLS 1.3, X25519; whether each was full or resumed is
  checked by the client, and by the edge's own counters, and the run fails otherwise), and requests at a fixed rate, whose time counts from when they were due (no coordinated
  omission). *Sent late* is the part of that before a request was sent: the client's own, and waiting for a connection where the proxy held all of them.
- **Large bodies.** 64 MiB, 8 at a time. nginx has `proxy_request_buffering off`, `proxy_buffering` as by default (8 buffers of 4 KiB) and no temporary files. Memory is the most
  PSS that was seen, every 50 ms.
- **WebSockets.** Newly started proxies; each connection has said one thing each way; PSS a second later. Every one is asked once more before it is closed.
- **Snapshots.** The route under load is in both of the snapshots that are swapped, all others change. The time is from the first byte of `PUT /snapshot` to its answer: checked, on
  disk, and served by every thread. p99 counts as unmoved within 10 %, by which two rounds of the same thing differ.
"""

REQUESTS = "| proxy | requests/s | of the best other | p50, ms | p99, ms | CPU, µs per request | cores busy | PSS after, MiB | RSS after, MiB | errors |"


def milliseconds(row, key):
    return f"{row[key] * 1e3:.2f}" if key in row else ""


def mib(row, key):
    return f"{row[key] / 2**20:.1f}" if key in row else ""


def errors(row):
    return f"{sum(one['errors'] for one in row['rounds']):,.0f}"


def table(head, lines):
    return ["", head, "|" + "---|" * (head.count("|") - 1), *lines]


def requests(rows):
    base = best(rows, "requests_per_second")[1]["requests_per_second"]
    lines = [
        f"| {NAMES[proxy]} | {row['requests_per_second']:,.0f} | {row['requests_per_second'] / base:.2f} | {milliseconds(row, 'p50_seconds')} "
        f"| {milliseconds(row, 'p99_seconds')} | {cpu_us(row):.1f} | {busy(row):.2f} | {mib(row, 'pss_after_bytes')} | {mib(row, 'rss_after_bytes')} | {errors(row)} |"
        for proxy, row in rows.items()
    ]
    return table(REQUESTS, lines), [("Requests per second", "/s", "requests_per_second", 1), ("CPU per request", "µs", cpu_us, 1)]


def fixed_rate(rows):
    head = "| proxy | asked/s | p50, ms | p99, ms | p99.9, ms | slowest, ms | sent late, p99, ms | CPU, µs per request | errors |"
    lines = [
        f"| {NAMES[proxy]} | {row['asked_per_second']:,.0f} | {milliseconds(row, 'p50_seconds')} | {milliseconds(row, 'p99_seconds')} | {milliseconds(row, 'p999_seconds')} "
        f"| {milliseconds(row, 'max_seconds')} | {milliseconds(row, 'late_p99_seconds')} | {cpu_us(row):.1f} | {errors(row)} |"
        for proxy, row in rows.items()
    ]
    return table(head, lines), [("p99", "ms", "p99_seconds", 1e3)]


def streams(rows):
    head = "| proxy | MiB/s | CPU, s per GiB | PSS at most, MiB | errors |"
    lines = [
        f"| {NAMES[proxy]} | {row['bytes_per_second'] / 2**20:,.0f} | {row['cpu_seconds_per_gib']:.3f} | {mib(row, 'pss_peak_bytes')} | {errors(row)} |"
        for proxy, row in rows.items()
    ]
    return table(head, lines), [("CPU per GiB", "s", "cpu_seconds_per_gib", 1), ("Memory at most", "MiB", "pss_peak_bytes", 2**-20)]


def websockets(rows):
    head = "| proxy | PSS before, MiB | with all open, MiB | KiB for each | lost |"
    lines = [
        f"| {NAMES[proxy]} | {mib(row, 'pss_before_bytes')} | {mib(row, 'pss_open_bytes')} | {row['bytes_per_connection'] / 1024:.1f} | {errors(row)} |"
        for proxy, row in rows.items()
    ]
    return table(head, lines), [("Memory with all open", "MiB", "pss_open_bytes", 2**-20)]


def swaps(rows):
    row = rows["edge"]
    head = "| | requests/s | p99, ms | p99.9, ms | swaps in a round | time to apply, ms | slowest, ms | errors |"
    slowest = max(one["apply_max_seconds"] for one in row["rounds"])
    lines = [
        f"| without | {row['asked_per_second']:,.0f} | {milliseconds(row, 'p99_calm_seconds')} | {milliseconds(row, 'p999_calm_seconds')} | | | | |",
        f"| swapped | {row['asked_per_second']:,.0f} | {milliseconds(row, 'p99_seconds')} | {milliseconds(row, 'p999_seconds')} | {row['swaps']:.0f} "
        f"| {milliseconds(row, 'apply_seconds')} | {slowest * 1e3:.2f} | {errors(row)} |",
    ]
    return table(head, lines), [("p99 with swaps", "ms", "p99_seconds", 1e3), ("p99 without", "ms", "p99_calm_seconds", 1e3), ("Time to apply", "ms", "apply_seconds", 1e3)]


KINDS = {"rate": fixed_rate, "upload": streams, "download": streams, "websockets": websockets, "swaps": swaps}


def workers_of(count):
    return f"{count} worker{'s' if count > 1 else ''}"


def plot(plots, name, title, charts, rows, bars, colours):
    """One file for each chart; the markdown that shows them. What only mana does is one chart of all."""
    colour = lambda proxy: colours["mana" if proxy == "edge" else proxy]
    value = lambda row, key, scale: (key(row) if callable(key) else row[key]) * scale
    if list(rows) == ["edge"]:
        unit = charts[0][1]
        bars(plots / f"{name}.svg", title, unit, [(label, value(rows["edge"], key, scale), colours["mana"]) for label, _, key, scale in charts])
        return [f"![{title}](plots/{name}.svg)"]
    shown = []
    for index, (label, unit, key, scale) in enumerate(charts):
        file = f"{name}{'' if index == 0 else f'-{index + 1}'}.svg"
        bars(plots / file, f"{label}: {title}", unit, [(NAMES[proxy], value(row, key, scale), colour(proxy)) for proxy, row in rows.items()])
        shown.append(f"![{label}: {title}](plots/{file})")
    return shown


def placed(results):
    said = []
    for workers, places in results.get("places", {}).items():
        cores = lambda cores: f"core{'s' if len(cores) > 1 else ''} {', '.join(map(str, cores))}"
        if apart(results, workers):
            said.append(f"With {workers_of(int(workers))}, the proxy has {cores(places['proxy'])} to itself, clients and upstream have {cores(places['load'])} (`taskset`).")
        else:
            said.append(f"With {workers_of(int(workers))}, proxy, clients and upstream share {cores(places['proxy'])}.")
    return " ".join(said) or "All share all cores."


def section(results, plots, bars, colours):
    took = f", took {results['took_seconds'] / 60:.0f} minutes" if "took_seconds" in results else ""
    lines = [
        "## The edge beside nginx, HAProxy and Caddy",
        f"`{results['command']}`, {results['at']}{took}.",
        "",
        METHOD.format(rounds=results["rounds"], seconds=results["seconds"], places=placed(results)),
        "### Goals",
    ]
    lines += table("| | workers | mana | the other | goal | |", [
        f"| {goal.what} | {goal.workers} | {goal.mana} | {goal.other} | {goal.goal} | {'reached' if goal.reached else '**missed**'} |" for goal in goals(results)
    ])
    if ANALYSIS.exists():
        lines += ["", ANALYSIS.read_text().strip()]
    for workload, title, workers in settings(results):
        rows = of(results, workers, workload)
        title = f"{title}, {workers_of(workers)}"
        shown, charts = KINDS.get(workload, requests)(rows)
        lines += ["", f"### {title}", *shown, "", *plot(plots, f"edge-{workers}-{workload}", title, charts, rows, bars, colours)]
    return "\n".join(lines)
