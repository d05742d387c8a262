"""The part of docs/BENCHMARKS.md about the edge and its peers, from benches/results/edge.json."""

NAMES = {"edge": "mana", "nginx": "nginx", "haproxy": "HAProxy", "caddy": "Caddy"}


def of(results, workers, connections):
    rows = [row for row in results["results"] if (row["workers"], row["connections"]) == (workers, connections)]
    return {row["proxy"]: row for row in rows}


def settings(results):
    seen = []
    for row in results["results"]:
        if (row["workers"], row["connections"]) not in seen:
            seen.append((row["workers"], row["connections"]))
    return seen


def row(proxy, one, base):
    cpu = one["cpu_user_us_per_request"] + one["cpu_system_us_per_request"]
    errors = one["errors"] + one["socket_errors"]
    return (
        f"| {NAMES[proxy]} | {one['requests_per_second']:,.0f} | {one['requests_per_second'] / base:.2f} "
        f"| {one['p50_seconds'] * 1e3:.2f} | {one['p99_seconds'] * 1e3:.2f} | {cpu:.1f} | {one['pss_after_bytes'] / 2**20:.1f} | {errors:.0f} |"
    )


def section(results, plots, bars, colours):
    lines = [
        "## The edge beside nginx, HAProxy and Caddy",
        f"`{results['command']}`, {results['at']}. Every proxy stands before the same nginx that answers {results['body_bytes']} bytes, keeps connections alive both ways, "
        "sets `X-Forwarded-*` and `x-request-id`, writes no access log, and has the same number of workers. "
        f"{results['rounds']} rounds of {results['seconds']} s each, interleaved; medians. wrk, proxy and upstream share the machine, so the "
        "processor time per request says most. Goal: not more than 15 % behind nginx.",
    ]
    for workers, connections in settings(results):
        rows = of(results, workers, connections)
        base = rows["nginx"]["requests_per_second"]
        lines += [
            "",
            f"### {workers} worker{'s' if workers > 1 else ''}, {connections} connections",
            "",
            "| proxy | requests/s | of nginx | p50, ms | p99, ms | CPU, µs per request | PSS after load, MiB | errors |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [row(proxy, one, base) for proxy, one in rows.items()]
        name = f"edge-{workers}-{connections}.svg"
        title = f"Requests per second, {workers} worker{'s' if workers > 1 else ''}, {connections} connections"
        shown = [(NAMES[proxy], one["requests_per_second"], colours["mana" if proxy == "edge" else proxy]) for proxy, one in rows.items()]
        bars(plots / name, title, "/s", shown)
        lines += ["", f"![{title}](plots/{name})"]
    return "\n".join(lines)
