"""The part of docs/BENCHMARKS.md about calls of models, from benches/results/ai.json."""

import statistics

METHOD = """\
`benches/ai/run.py`, release build. The model is `ai-echo`, which answers at once; one client (`benches/load`) for all, rounds interleaved, each beginning with another one, medians. LiteLLM has one worker and no database; Portkey's gateway keeps nothing either. Clients, model and
everything in between share the machine; with 1,000 streams that is 50,000 tokens a second, each of which passes four programs. *Token*: an access token is verified and the model called (`apps/chat/backend/examples/gateway.rs`); *reserve and settle*: credits held at the ledger before, charged after; *messages stored*: as the web app does it, question and answer in the database. The last two go through the edge; every commit is durable."""
OURS = ("chat-backend", "mana-core-auth", "chat-web")
STORES = {"sqlite": "SQLite", "postgres": "PostgreSQL and Redis"}


def ms(seconds):
    return f"{seconds * 1e3:.2f} ms"


def table(results):
    lines = ["| | 1 connection: p50 | p99 | 64 connections: requests/s | 200/s, open loop: added p50 | added p99 |", "|---|---|---|---|---|---|"]
    for store, name in STORES.items():
        if store not in results or "beside" not in results[store]:
            continue
        found = results[store]["beside"]
        for row, one in found["one"].items():
            many, rate = found["many"][row], found["rate"].get(row)
            direct = found["rate"]["direct"]
            added = [ms(rate[key] - direct[key]) for key in ("p50_seconds", "p99_seconds")] if rate and row != "direct" else ["", ""]
            errors = f" ({many['errors']} failed)" if many["errors"] else ""
            lines.append(f"| {name}: {row} | {ms(one['p50_seconds'])} | {ms(one['p99_seconds'])} | {many['requests_per_second']:,.0f}{errors} | {added[0]} | {added[1]} |")
    return lines


def section(results):
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    lines = ["## Calls of models beside LiteLLM and Portkey", METHOD, "", f"{versions}.", "", *table(results), "", "| | measured | goal |", "|---|---|---|"]
    row = lambda what, measured, goal: lines.append(f"| {what} | {measured} | {goal} |")
    found = results["sqlite"]["beside"]
    if "LiteLLM" in found["one"]:
        own, theirs = found["one"]["token"]["p99_seconds"], found["one"]
        row("one connection, token: p99 of LiteLLM's, of Portkey's", f"{own / theirs['LiteLLM']['p99_seconds']:.2f}, {own / theirs['Portkey']['p99_seconds']:.2f}", "≤ 0.10, < 1.00")
        for store, name in STORES.items():
            if store in results and "beside" in results[store]:
                ratio = results[store]["beside"]["many"]["messages stored"]["requests_per_second"] / found["many"]["LiteLLM"]["requests_per_second"]
                row(f"64 connections of one account, messages stored, {name}: times LiteLLM's requests/s", f"{ratio:.1f}", "≥ 20")
    for store, name in STORES.items():
        if store not in results:
            continue
        parts = results[store]
        if "beside" in parts:
            rate = parts["beside"]["rate"]
            added = [rate["messages stored"][key] - rate["direct"][key] for key in ("p50_seconds", "p99_seconds")]
            row(f"{name}: what the platform adds to a call at 200 requests/s, messages stored: p50, p99", ", ".join(map(ms, added)), "< 2 ms, < 5 ms")
            row(f"{name}: a contended account, 64 parallel: debits/s (messages stored)", f"{parts['beside']['many']['messages stored']['requests_per_second']:,.0f}", "≥ 500, exact")
            memory = {service: size for service, size in parts["beside"]["memory_bytes"].items() if service in OURS}
            row(f"{name}: memory of the services after it (PSS)", ", ".join(f"{service} {size / 1e6:.0f} MB" for service, size in memory.items()), "each < 40 MB")
        if "streams" in parts:
            for step in parts["streams"]["ladder"]:
                rounds, many = step["rounds"], step["streams"]
                added = [statistics.median(one["streamed"][key] - one["direct"][key] for one in rounds) for key in ("first_token_p50_seconds", "first_token_p99_seconds")]
                lost = sum(one["streamed"]["streams"] * 64 - one["streamed"]["tokens"] for one in rounds)
                failed = sum(one["streamed"]["errors"] for one in rounds)
                row(f"{name}: {many:,} streams begun within 2 s, 64 tokens at 20 ms: added time to the first token, p50, p99; tokens lost; streams failed", f"{', '.join(map(ms, added))}; {lost}; {failed}", "p99 < 10 ms; 0; 0")
        if "mixed" in parts:
            mixed = parts["mixed"]
            reads = mixed["balance_reads"]
            row(f"{name}: balances read without the ledger, over {mixed['minutes']:g} minutes", f"{reads.get('cache', 0) / max(1, sum(reads.values())):.1%} of {sum(reads.values()):,}", "≥ 90 %")
            slopes = ", ".join(f"{service} {slope / 1e6:+.2f} MB" for service, slope in mixed["bytes_a_minute"].items())
            row(f"{name}: memory a minute in the second half of it", slopes, "flat")
            sizes = ", ".join(f"{service} {size / 1e6:.0f} MB" for service, size in mixed["last_bytes"].items() if service in OURS)
            row(f"{name}: memory of the services at its end (PSS)", sizes, "each < 40 MB")
    return "\n".join(lines)
