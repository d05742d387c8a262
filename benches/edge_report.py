"""The part of docs/BENCHMARKS.md about the edge and its peers, from benches/results/edge.json."""

NAMES = {"edge": "mana", "nginx": "nginx", "haproxy": "HAProxy", "caddy": "Caddy"}


def of(results, workers, workload):
    rows = [row for row in results["results"] if (row["workers"], row["workload"]) == (workers, workload)]
    return {row["proxy"]: row for row in rows}


def settings(results):
    """Each workload with its numbers of workers, in the order of the run."""
    return list(dict.fromkeys((row["workload"], row["title"], row["workers"]) for row in sorted(results["results"], key=lambda row: row["workers"])))


def best_other(rows):
    return max(row["requests_per_second"] for proxy, row in rows.items() if proxy != "edge")


def milliseconds(one, quantile):
    return f"{one[quantile] * 1e3:.2f}" if quantile in one else ""


def row(proxy, one, base):
    cpu = one["cpu_user_us_per_request"] + one["cpu_system_us_per_request"]
    return (
        f"| {NAMES[proxy]} | {one['requests_per_second']:,.0f} | {one['requests_per_second'] / base:.2f} "
        f"| {milliseconds(one, 'p50_seconds')} | {milliseconds(one, 'p99_seconds')} | {cpu:.1f} | {one['pss_after_bytes'] / 2**20:.1f} | {one['errors']:.0f} |"
    )


def workers_of(count):
    return f"{count} worker{'s' if count > 1 else ''}"


def section(results, plots, bars, colours):
    lines = [
        "## The edge beside nginx, HAProxy and Caddy",
        f"`{results['command']}`, {results['at']}. Every proxy stands before the same nginx, keeps connections alive both ways, "
        "sets `X-Forwarded-*` and `x-request-id`, writes no access log, has the same certificate (P-256) and the same number of workers. "
        f"{results['rounds']} rounds of {results['seconds']} s each, interleaved; medians. Clients, proxy and upstream share the machine, so the "
        "processor time per request says most; memory is after all workloads above it in the run. Answers are of 1 KiB where nothing else is said. "
        "Goal: 1.00 of the best of the others.",
        "",
        "| | workers | mana, requests/s | best other | of it | goal |",
        "|---|---|---|---|---|---|",
    ]
    for workload, title, workers in settings(results):
        rows = of(results, workers, workload)
        best = best_other(rows)
        own = rows["edge"]["requests_per_second"]
        name = next(NAMES[proxy] for proxy, one in rows.items() if one["requests_per_second"] == best)
        lines.append(f"| {title} | {workers} | {own:,.0f} | {best:,.0f} ({name}) | {own / best:.2f} | {'reached' if own >= best else 'missed'} |")
    for workload, title, workers in settings(results):
        rows = of(results, workers, workload)
        base = best_other(rows)
        title = f"{title}, {workers_of(workers)}"
        lines += [
            "",
            f"### {title}",
            "",
            "| proxy | requests/s | of the best other | p50, ms | p99, ms | CPU, µs per request | PSS after, MiB | errors |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [row(proxy, one, base) for proxy, one in rows.items()]
        name = f"edge-{workers}-{workload}.svg"
        shown = [(NAMES[proxy], one["requests_per_second"], colours["mana" if proxy == "edge" else proxy]) for proxy, one in rows.items()]
        bars(plots / name, f"Requests per second: {title}", "/s", shown)
        lines += ["", f"![Requests per second: {title}](plots/{name})"]
    return "\n".join(lines)
