#!/usr/bin/env python3
"""Writes docs/BENCHMARKS.md and its plots from benches/results/*.json. Nothing in that page is typed by hand."""

import json
import pathlib
import platform
import statistics
import subprocess
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benches/results"
PLOTS = ROOT / "docs/plots"
COLOURS = {"mana": "#2563eb", "nginx": "#15803d", "haproxy": "#b45309", "caddy": "#7c3aed"}


def read(name):
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def output(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"


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


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal")) / 1024 / 1024
    cores = sum(1 for line in open("/proc/cpuinfo") if line.startswith("processor"))
    versions = [
        ("mana", output(ROOT / "target/release/mana", "--version")),
        ("rustc", output("rustc", "--version")),
        ("nginx", output("nginx", "-v")),
        ("HAProxy", output("haproxy", "-v")),
        ("Caddy", output("caddy", "version")),
        ("wrk", output("wrk", "-v")),
    ]
    lines = [f"{cores} cores ({model}), {memory:.0f} GiB of memory, Linux {platform.release()}.", "", "| program | version |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {escape(version)} |" for name, version in versions])


def system(results):
    idle, loaded = results["pss_idle_kib"], results["pss_after_load_kib"]
    names = list(idle)
    mib = lambda kib: kib / 1024
    repairs = results["repair_s"]
    PLOTS.mkdir(parents=True, exist_ok=True)
    bars(PLOTS / "memory.svg", "Resident memory (PSS), idle", "MiB", [(name, mib(idle[name]), "#2563eb") for name in names])
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


def edge(results):
    import edge_report

    return edge_report.section(results, PLOTS, bars, COLOURS)


def main():
    parts = [
        "# Benchmarks",
        "Written by `make bench`; do not edit. Rows of one section are of one run. The machine is small and shared, so the ratios between rows of one table mean more than the numbers.",
        machine(),
    ]
    PLOTS.mkdir(parents=True, exist_ok=True)
    if (results := read("edge")) is not None:
        parts.append(edge(results))
    if (results := read("system")) is not None:
        parts.append(system(results))
    (ROOT / "docs/BENCHMARKS.md").write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
