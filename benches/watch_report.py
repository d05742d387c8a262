"""The part of docs/BENCHMARKS.md about watching, from benches/results/watch.json."""

import statistics

METHOD = """\
`benches/watch/run.py`, release build; Prometheus is Debian's with its defaults. Both scrape the same 50 services at the same time, every 10 s. mana measures more at that time: it also probes each service twice, and measures the host, each process and
the edge. Queries are over the same samples, every ten seconds of 90 days, which Prometheus has all of; mana keeps them by the minute after two days and by the hour after thirty, as it always does. mana is asked through its edge and with a token, Prometheus directly."""


def row(what, mana, other, goal):
    return f"| {what} | {mana} | {other} | {goal} |"


def mb(number):
    return f"{number / 1e6:.1f} MB"


def section(results):
    """What was measured of it."""
    lines = ["## Watching beside Prometheus", METHOD, "", "| | mana | Prometheus | goal |", "|---|---|---|---|"]
    for part, rows in ROWS.items():
        if part in results:
            lines += rows(results[part])
    return "\n".join(lines)


def scraping_rows(load):
    memory, cores, series = load["memory_bytes"], load["cores"], load["series"]
    yield row(f"series, {load['services']} services of 200", f"{series['mana']:,.0f}", f"{series['prometheus']:,.0f}", "")
    yield row(f"memory (PSS, most) over {load['minutes']:g} minutes: the whole control plane", mb(memory["mana"]), mb(memory["prometheus"]), "≤ 60 MB, under half of Prometheus")
    yield row("processor time, of one core", f"{cores['mana']:.2%}", f"{cores['prometheus']:.2%}", "≤ 1 %")


def stored_rows(stored):
    yield row("bytes a sample on disk, a simulated day (`--example store`)", f"{stored['bytes_a_sample']:.2f} (Gorilla's encoding alone: {stored['gorilla_bytes_a_sample']:.2f})", "", "≤ 1.0")
    yield row("memory of the store alone with 10,000 series, a simulated day", f"{stored['memory_mb']:.1f} MB", "", "")


def queries_rows(asked):
    disk = asked["disk_bytes"]
    yield row(f"on disk, {asked['samples']:,} samples of latency histograms", mb(disk["mana"]), mb(disk["prometheus"]), "")
    for (what, query), goal in zip(asked["queries"].items(), ("< 20 ms, ahead of Prometheus", "< 50 ms, ahead of Prometheus")):
        middle = {name: f"{statistics.median(times) * 1e3:.1f} ms" for name, times in query["times_s"].items()}
        yield row(f"{what}: median of {len(query['times_s']['mana'])}", middle["mana"], middle["prometheus"], goal)


def alerts_rows(told):
    times = told["times_s"]
    yield row(f"from a breach to the webhook, `for: 0`, {len(times)} times", f"{statistics.median(times):.1f} s (slowest {max(times):.1f} s)", "", "< 20 s")


def paint_rows(painted):
    paints = [one["paint_ms"] for one in painted["rounds"]]
    yield row(f"dashboard, 50 services, a year stored: first paint in Chromium, median of {len(paints)}", f"{statistics.median(paints):.0f} ms (slowest {max(paints):.0f} ms)", "", "< 300 ms")
    yield row("the same: over the wire", f"{max(one['bytes'] for one in painted['rounds']) / 1e3:.0f} kB", "", "< 150 kB")
    yield row("the same: from `mana up` to the first answer about stored series", f"{painted['opened_s']:.1f} s", "", "< 1 s for the store")


def kills_rows(killed):
    yield row("kill -9 while samples are taken", f"{killed['kills']} times: no store damaged, no acknowledged round gone", "", "200, at most the last interval lost")


ROWS = {"scraping": scraping_rows, "stored": stored_rows, "queries": queries_rows, "alerts": alerts_rows, "paint": paint_rows, "kills": kills_rows}
