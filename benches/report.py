#!/usr/bin/env python3
"""Writes docs/BENCHMARKS.md with its plots, and the table in README.md, from benches/results/*.json and benches/edge/analysis.md. The same
results give the same pages on every machine; `--check` says whether they are what is there."""

import argparse
import json
import pathlib
import re
import statistics
import sys
import tempfile
from xml.sax.saxutils import escape

import ai_report
import delivery_report
import edge_report
import watch_report
from edge_goals import of, settings

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benches/results"
PLOTS = ROOT / "docs/plots"
README_MARKS = "<!-- measured: written by benches/report.py -->", "<!-- /measured -->"
README_RATIOS = {
    "the edge beside the best of nginx, HAProxy and Caddy in the same run, requests a second: plain HTTP/1.1, 64 and 512 connections": ("http1-64", "http1-512"),
    "HTTPS: HTTP/1.1, HTTP/2": ("https1-64", "http2-32"),
    "new TLS connections: full handshakes": ("full",),
    "new TLS connections: resumed": ("resumed",),
    "a kept answer of 10 KiB, a file of 100 KiB": ("cached", "static"),
}
README_MEMORY = [
    ("memory of the edge after 512 connections", "http1-512", "rss_after_bytes"),
    ("memory of the edge with 1,000 idle WebSockets", "websockets", "pss_open_bytes"),
]
COLOURS = {"mana": "#2563eb", "nginx": "#15803d", "haproxy": "#b45309", "caddy": "#7c3aed"}


def read(name):
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def bars(path, title, unit, rows):
    """A bar chart as SVG: rows of (label, value, colour)."""
    width, left, height, top = 720, 190, 26, 44
    most = max(value for _, value, _ in rows) or 1
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top + height * len(rows) + 12}" role="img" aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="12" y="26" font-size="15" font-weight="600" fill="#111827">{escape(title)}</text>',
    ]
    for index, (label, value, colour) in enumerate(rows):
        y = top + index * height
        length = (width - left - 130) * value / most
        lines.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end" fill="#374151">{escape(label)}</text>')
        lines.append(f'<rect x="{left}" y="{y + 3}" width="{length:.1f}" height="16" rx="2" fill="{colour}"/>')
        lines.append(f'<text x="{left + length + 6:.1f}" y="{y + 15}" fill="#374151">{value:,.{0 if value >= 100 else 2}f} {escape(unit)}</text>')
    lines.append("</svg>")
    path.write_text("\n".join(lines) + "\n")


def machine(results):
    machine, versions = results["machine"], results["versions"]
    memory = f", {machine['memory_gib']} GiB of memory" if "memory_gib" in machine else ""
    lines = [f"{machine['cores']} cores ({machine['processor']}){memory}, Linux {machine['kernel']}.", "", "| program | version |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {escape(version)} |" for name, version in versions.items()])


def system(results, plots):
    idle, loaded = results["pss_idle_kib"], results["pss_after_load_kib"]
    names = list(idle)
    mib = lambda kib: kib / 1024
    repairs = results["repair_s"]
    bars(plots / "memory.svg", "Resident memory (PSS), idle", "MiB", [(name, mib(idle[name]), "#2563eb") for name in names])
    lines = [
        "## The running ecosystem",
        "`benches/system/run.py`: the shipped manifest in development, release build, a data folder of its own.",
        "",
        "| | measured | goal |",
        "|---|---|---|",
        f"| `mana up`, warm: exec to all ready, median of {results['rounds']} | {results['warm_up_median_s']:.2f} s (slowest {max(results['warm_up_s']):.2f} s) | < 2 s |",
        f"| all processes together, idle for {results['idle_seconds']} s (PSS) | {mib(sum(idle.values())):.1f} MiB | < 80 MB |",
        f"| all processes together, after {results['load_requests']:,} requests in {results['load_seconds']} s (PSS) | {mib(sum(loaded.values())):.1f} MiB | |",
    ]
    for service, times in repairs.items():
        lines.append(f"| kill -9 {service}: until it answers through the edge, median of {len(times)} | {statistics.median(times):.2f} s (slowest {max(times):.2f} s) | < 1 s |")
    lines += ["", "| process | idle, MiB | after load, MiB |", "|---|---|---|"]
    lines += [f"| {name} | {mib(idle[name]):.1f} | {mib(loaded.get(name, 0)):.1f} |" for name in names]
    lines += ["", "![Memory by process](plots/memory.svg)"]
    return "\n".join(lines)


def ratios(results, workloads):
    """Of the best of the others, from the lowest to the highest number of any workers; none where it was not measured."""
    said = []
    for workload in workloads:
        found = []
        for _, _, workers in (setting for setting in settings(results) if setting[0] == workload):
            rows = of(results, workers, workload)
            others = [row["requests_per_second"] for proxy, row in rows.items() if proxy != "edge"]
            if others and "edge" in rows:
                found.append(rows["edge"]["requests_per_second"] / max(others))
        if not found:
            return None
        low, high = f"{min(found):.2f}", f"{max(found):.2f}"
        said.append(low if low == high else f"{low} to {high}")
    return ", ".join(said)


def readme_table(edge, system, delivery, calls):
    rows = []
    if edge:
        for what, workloads in README_RATIOS.items():
            if said := ratios(edge, workloads):
                rows.append((what, said))
        for what, workload, key in README_MEMORY:
            sizes = [row[key] / 1e6 for row in edge["results"] if (row["proxy"], row["workload"]) == ("edge", workload) and key in row]
            if sizes:
                rows.append((what, f"{max(sizes):.0f} MB"))
    if system:
        repairs = [time for times in system["repair_s"].values() for time in times]
        rows += [
            ("`mana up`, warm, until all are ready", f"{system['warm_up_median_s']:.2f} s"),
            ("everything together, idle", f"{sum(system['pss_idle_kib'].values()) / 1024:.0f} MiB"),
            ("a service killed with `kill -9` answers again after", f"{statistics.median(repairs):.2f} s"),
        ]
    if rounds := (delivery or {}).get("rounds"):
        loads = rounds["loads"].values()
        hit, requests = sum(load["failed"] + load["delayed"] for load in loads), sum(load["requests"] for load in loads)
        rows.append((f"requests that failed or took over a second through {rounds['rounds']} rollouts and {rounds['rounds']} rollbacks under load", f"{hit:,} of {requests:,}"))
    if switches := (delivery or {}).get("switches"):
        rows.append(("`mana switch` until no new request reaches the other version, p99 of 100", f"{delivery_report.p99(switches['times_s']) * 1e3:.0f} ms"))
    if beside := (calls or {}).get("sqlite", {}).get("beside"):
        rate = beside["rate"]
        added = [rate["messages stored"][key] - rate["direct"][key] for key in ("p50_seconds", "p99_seconds")]
        rows.append(("a chat request beside the model's own time (token, credits held and charged, both messages stored durably), 200/s, p50, p99", f"{added[0] * 1e3:.1f} ms, {added[1] * 1e3:.1f} ms"))
    return "\n".join(["| | measured |", "|---|---|", *(f"| {what} | {said} |" for what, said in rows)])


def pages(plots):
    """Text by file; the plots are written."""
    edge, system_results = read("edge"), read("system")
    parts = [
        "# Benchmarks",
        "Written by `make bench`; do not edit. Rows of one section are of one run, but for parts that were measured anew alone (`--only`). The machine is small and shared, so the ratios between rows of one table mean more than the numbers.",
    ]
    if edge:
        parts += [machine(edge), edge_report.section(edge, plots, bars, COLOURS)]
    if system_results:
        parts.append(system(system_results, plots))
    delivery, calls = read("delivery"), read("ai")
    if delivery:
        parts.append(delivery_report.section(delivery))
    if calls:
        parts.append(ai_report.section(calls))
    if watch := read("watch"):
        parts.append(watch_report.section(watch))
    readme = (ROOT / "README.md").read_text()
    begin, end = README_MARKS
    if begin not in readme or end not in readme:
        sys.exit(f"README.md has no {begin} … {end}")
    table = readme_table(edge, system_results, delivery, calls)
    readme = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{table}\n{end}", readme, flags=re.DOTALL)
    return {ROOT / "docs/BENCHMARKS.md": "\n\n".join(parts) + "\n", ROOT / "README.md": readme}


def check():
    with tempfile.TemporaryDirectory() as name:
        new = pages(pathlib.Path(name))
        new |= {PLOTS / plot.name: plot.read_text() for plot in pathlib.Path(name).iterdir()}
    old = [path for path, text in new.items() if not path.exists() or path.read_text() != text]
    old += [path for path in PLOTS.glob("*.svg") if path not in new]
    if old:
        sys.exit("not what benches/report.py makes of benches/results: " + ", ".join(str(path.relative_to(ROOT)) for path in old))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where pages differ from what they should be")
    if parser.parse_args().check:
        return check()
    PLOTS.mkdir(parents=True, exist_ok=True)
    for plot in PLOTS.glob("*.svg"):
        plot.unlink()
    for path, text in pages(PLOTS).items():
        path.write_text(text)


if __name__ == "__main__":
    main()
