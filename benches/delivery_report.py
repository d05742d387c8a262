"""The part of docs/BENCHMARKS.md about delivery, from benches/results/delivery.json."""

import statistics

METHOD = """\
`benches/delivery/run.py`: one service, two slots, a real edge and a real control plane, release build. No other engine is measured beside it: those need a cluster, or images
of programs that this machine does not have."""


def p99(times):
    return sorted(times)[max(0, -(-len(times) * 99 // 100) - 1)]


def row(what, measured, goal=""):
    return f"| {what} | {measured} | {goal} |"


def section(results):
    """What was measured of it."""
    lines = ["## Delivery", METHOD, "", "| | measured | goal |", "|---|---|---|"]
    for part, rows in ROWS.items():
        if part in results:
            lines += rows(results[part])
    if rounds := results.get("rounds"):
        lines += ["", load(rounds, results["share"])]
    return "\n".join(lines)


def rounds_rows(rounds):
    for kind, load in rounds["loads"].items():
        what = f"failed, delayed (> 1 s) through {rounds['rounds']} rollouts and {rounds['rounds']} rollbacks, {kind}"
        still = rounds["without"][kind]
        measured = f"{load['failed']:,}, {load['delayed']:,} of {load['requests']:,} (slowest {load['slowest_seconds']:.2f} s; without rollouts {still['failed']:,}, {still['delayed']:,} of {still['requests']:,}, {still['slowest_seconds']:.2f} s)"
        yield row(what, measured, "0")


def switches_rows(switches):
    times = switches["times_s"]
    what = f"`mana switch`: from its begin to the last new request at the other slot, p50, p99 of {len(times)}"
    yield row(what, f"{statistics.median(times) * 1e3:.0f} ms, {p99(times) * 1e3:.0f} ms; {switches['failed']} failed", "< 250 ms")


def back_rows(back):
    for key, what, goal in (("warm_s", "rollback, the old version warm", "< 1 s"), ("gone_s", "rollback, the old version gone", "< 10 s")):
        times = back[key]
        yield row(f"{what}: median of {len(times)}", f"{statistics.median(times):.2f} s (slowest {max(times):.2f} s)", goal)


def bad_rows(bad):
    for what, users in bad.items():
        hit = users["failed"] + users["delayed"]
        measured = f"{hit / users['requests'] * 1e4:.1f} ({users['failed']} failed, {users['delayed']} late; over after {users['stopped_after_s']:.0f} s)"
        yield row(f"bad release, {what}: users' failed or late requests per 10,000, 10 % canary", measured, "as few as its share allows")


def simulated_rows(simulated):
    sample = f"{simulated['canaries']} simulated canaries, {simulated['good']['of_green']:,.0f} requests of the new version"
    good, bad = simulated["good"], simulated["bad"]
    yield row(f"good release wrongly stopped (held): {sample}", f"{good['stopped']} % ({good['held']} %)", "< 1 %")
    yield row(f"bad release (1 %, the old one 0.5 %) passed: {sample}", f"{bad['passed']} %", "< 5 %")
    yield row("reducer, steps/s", f"{simulated['steps_per_second']:,.0f}", "≥ 1 M")
    yield row(f"replay of a year ({simulated['year_rollouts']:,} rollouts)", f"{simulated['replay_s']:.2f} s", "seconds")


def deaths_rows(deaths):
    for death in deaths:
        what = f"control plane killed (`kill -9`) before and after every journal entry of {death['what']}, debug build"
        yield row(what, f"{death['kills']} of {death['kills']} ended well; 0 of {death['requests']:,} requests failed", "all; 0 failed")


ROWS = {"rounds": rounds_rows, "switches": switches_rows, "back": back_rows, "bad": bad_rows, "simulated": simulated_rows, "deaths": deaths_rows}


def load(rounds, share):
    return (
        f"Load: {rounds['each_per_second']:,} requests/s of HTTP/1.1, from when each was due, and as many of HTTP/2 over TLS: {share:.0%} of the machine, on which wrk alone gets {rounds['capacity']['HTTP/1.1']:,.0f} a second through and "
        f"h2load alone {rounds['capacity']['HTTP/2']:,.0f}; clients and all programs share its cores. 16 streams beside it (answers of two seconds; delayed: a second without a part). The new version begins with 10 % for ten seconds, behind the gate."
    )
