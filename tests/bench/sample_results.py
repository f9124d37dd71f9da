"""Results as `pybuf bench` writes them, made of seeds: figures like real ones, the same in every run.

`python tests/bench/sample_results.py FILE` writes one as JSON.
"""

from __future__ import annotations

import json
import math
import random
import statistics
import sys
from typing import Any

PEERS = {
    "poolcore": ("slabs over own pages, one pool", 0.88),
    "glibc": ("the C library's malloc", 1.0),
    "mimalloc": ("mimalloc 2.0.9", 0.82),
    "tcmalloc": ("tcmalloc-minimal 2.10", 0.95),
    "jemalloc": ("jemalloc 5.3.0; loaded with room for its thread-local storage", 1.13),
    "pymalloc": ("CPython's small blocks, with the GIL", 1.004),
    "empty": ("the loop alone: what every other row pays too", 0.17),
}
MISSING = {
    "name": "snmalloc", "reason": "no library of that name was found", "package": "libsnmalloc-dev",
    "is_disqualified": False,
}
DISQUALIFIED = {
    "name": "handwritten",
    "reason": "returned a block of 1500 bytes in which the pattern had changed after 4,096 calls",
    "package": None, "is_disqualified": True,
}


def ratio_of(series: list[float], base: list[float]) -> dict[str, Any]:
    """A ratio with the shape of a real one; the interval is a normal one, which is close enough to be drawn."""
    logs = [math.log(one / other) for one, other in zip(series, base, strict=True)]
    middle, half = statistics.median(logs), 0.0
    if len(logs) >= 8:
        half = 2.8 * statistics.stdev(logs) / math.sqrt(len(logs))
        low, high, confidence = math.exp(middle - half), math.exp(middle + half), 0.99
        verdict = (
            "no difference" if low >= 0.98 and high <= 1.02 else
            "faster" if high < 1 else "slower" if low > 1 else "inconclusive"
        )
    else:
        low, high, confidence, verdict = math.exp(min(logs)), math.exp(max(logs)), None, "range only"
    return {
        "estimate": math.exp(middle), "low": low, "high": high, "confidence": confidence, "verdict": verdict,
        "p": None if confidence is None else 0.001 if verdict in ("faster", "slower") else 0.4,
    }


def timed(
    seed: int, name: str, what: str, level: float = 10.0, spread: float = 0.02, rounds: int = 20,
    passes: tuple[str, ...] = ("first", "later"), threads: int = 1, trace: dict[str, Any] | None = None,
    peers: dict[str, tuple[str, float]] = PEERS, absent: list[dict[str, Any]] | None = None, **parameters: Any,
) -> dict[str, Any]:
    """A comparison in time."""
    rng = random.Random(seed)
    noise = [rng.gauss(0, 0.06) for _ in range(rounds)]
    warm = {one: 1.0 if place == 0 else 0.55 for place, one in enumerate(passes)}

    def series(factor: float) -> dict[str, list[float]]:
        own = {one: factor * (1 + 0.06 * rng.gauss(0, 1)) for one in passes}
        return {
            one: [level * warm[one] * own[one] * math.exp(shared + rng.gauss(0, spread)) for shared in noise]
            for one in passes
        }

    found = {peer: series(factor) for peer, (_, factor) in peers.items()}
    base = found["glibc"]
    again = {one: [value * math.exp(rng.gauss(0, spread)) for value in base[one]] for one in passes}
    a_over_a = {one: ratio_of(again[one], base[one]) for one in passes}
    return {
        "id": f"{name}, {threads} thread{'s' * (threads != 1)}, line, time", "metric": "time", "threads": threads,
        "touch": "line", "unit": "ns per event",
        "workload": {"name": name, "what": what, "parameters": parameters, "trace": trace},
        "base": "glibc", "passes": list(passes), "rounds": rounds, "repeated_rounds": rng.randrange(4),
        "disturbed_rounds": 0, "processes": 2 if trace else 1,
        "contenders": [
            {
                "name": peer, "what": peers[peer][0], "origin": f"/usr/lib/lib{peer}.so", "series": found[peer],
                "ratios": None if peer == "glibc" else {one: ratio_of(found[peer][one], base[one]) for one in passes},
            }
            for peer in peers
        ],
        "a_over_a": a_over_a,
        "smallest_effect": {
            one: None if rounds < 8 else math.expm1(math.log(ratio["high"] / ratio["low"]) / 2 * 1.5)
            for one, ratio in a_over_a.items()
        },
        "latency": None, "memory": None, "size_histogram": None, "class_edges": None, "slab_map": None,
        "absent": absent or [],
    }


def _without_figures(seed: int, metric: str, unit: str, name: str, what: str) -> dict[str, Any]:
    comparison = timed(seed, name, what, passes=("all",))
    rows = [row | {"series": {}, "ratios": None} for row in comparison["contenders"]]
    return comparison | {
        "id": f"{name}, 1 thread, line, {metric}", "metric": metric, "unit": unit, "contenders": rows, "a_over_a": {},
        "smallest_effect": {},
    }


def delayed(seed: int) -> dict[str, Any]:
    """A comparison in latency: a histogram of each contender, in buckets of an eighth of a doubling."""
    rng = random.Random(seed)
    latency = {}
    for peer, (_, factor) in PEERS.items():
        counts: dict[int, int] = {}
        for _ in range(40_000):
            kind = rng.random()
            time = rng.lognormvariate(math.log(12 + 14 * factor), 0.15)
            if kind < 0.02 and peer != "empty":
                time = rng.lognormvariate(math.log(180 * factor), 0.5)
            if kind < 0.0008 and peer != "empty":
                time = rng.lognormvariate(math.log(2500 * factor), 0.7)
            if kind > 0.9997:
                time = rng.uniform(20_000, 40_000)
            bucket = round(2 ** (math.floor(math.log2(time) * 8) / 8))
            counts[bucket] = counts.get(bucket, 0) + 50
        latency[peer] = {"counts": [list(pair) for pair in sorted(counts.items())], "percentiles": {}}

    def percentile(counts: list[list[int]], share: float) -> int:
        left = sum(count for _, count in counts) * share
        for time, count in counts:
            left -= count
            if left <= 0:
                return time
        return counts[-1][0]

    floor = percentile(latency["empty"]["counts"], 0.99)
    for peer, one in latency.items():
        found = {key: percentile(one["counts"], float(key) / 100) for key in ("50", "90", "99", "99.9", "99.99")}
        one["percentiles"] = {
            key: None if peer != "empty" and value <= floor else value for key, value in found.items()
        } | {"99.999": None}
    comparison = _without_figures(seed, "latency", "ns per operation", "random-replacement",
                                  "blocks of 16 to 1500 bytes replaced at random")
    return comparison | {"latency": latency}


def resident(seed: int) -> dict[str, Any]:
    """A comparison in bytes, with the sizes asked for and our slab map."""
    rng = random.Random(seed)
    events = [step * 1500 for step in range(300)]
    live = [
        int(9e6 * (min(step / 60, 1) - 0.45 * max(0, min(1, (step - 150) / 40)) + 0.3 * max(0, (step - 220) / 80))
            * (1 + 0.03 * rng.random()))
        for step in range(300)
    ]
    memory = {}
    wastes = {"poolcore": 1.06, "glibc": 1.12, "mimalloc": 1.34, "tcmalloc": 1.21, "jemalloc": 1.18}
    for peer, waste in wastes.items():
        peak, timeline = 0.0, []
        for event, now in zip(events, live, strict=True):
            peak = max(peak * 0.9985, now * waste)
            slab = int(peak * 0.985) if peer == "poolcore" else None
            timeline.append([event, now, slab, int(peak + 180_000)])
        memory[peer] = {
            "timeline": timeline, "peak_resident_bytes": max(point[3] for point in timeline),
            "waste": max(point[3] for point in timeline) / max(live),
        }
    sizes: dict[int, int] = {}
    for _ in range(30_000):
        size = int(rng.lognormvariate(5.2, 1.1)) + 1
        if rng.random() < 0.6:
            size = rng.choice((24, 32, 48, 64, 64, 128, 256))
        sizes[min(size, 60_000)] = sizes.get(min(size, 60_000), 0) + 1
    edges = [16 * step for step in range(1, 9)] + [
        int(2 ** (power + part / 4)) // 16 * 16 for power in range(7, 16) for part in range(1, 5)
    ]
    granules = []
    for place in range(190):
        kind = rng.choices((4, 5, 1, 0), (80, 5, 10, 5 + place / 8))[0]
        size = rng.choice((32, 64, 128, 256, 512, 1536)) if kind == 4 else 0
        blocks = 65_536 // size if size else 0
        granules.append([place, kind, size, int(blocks * min(1.0, rng.betavariate(3, 0.8))), blocks])
    comparison = _without_figures(seed, "memory", "bytes", "sqlite", "sqlite3's shell, recorded")
    return comparison | {
        "touch": "page", "id": "sqlite, 1 thread, page, memory", "memory": memory,
        "size_histogram": [list(pair) for pair in sorted(sizes.items())], "class_edges": sorted(set(edges)),
        "slab_map": granules,
    }


def result(comparisons: list[dict[str, Any]], seed: int = 20_261_128, is_complete: bool = True) -> dict[str, Any]:
    """A whole result around comparisons."""
    timed_ones = [one for one in comparisons if one["metric"] == "time"]
    lead = {}
    for name in ("first", "later"):
        ratios, peers = {}, {}
        for one in timed_ones:
            rows = {row["name"]: row["series"].get(name) for row in one["contenders"]}
            if rows.get("poolcore") is None:
                continue
            others = {
                key: statistics.median(row) for key, row in rows.items() if row and key not in ("poolcore", "empty")
            }
            fastest = min(others, key=others.__getitem__)
            peers[one["workload"]["name"]] = fastest
            ratios[one["workload"]["name"]] = statistics.median(rows["poolcore"]) / others[fastest]
        if ratios:
            mean = math.exp(statistics.fmean(map(math.log, ratios.values())))
            lead[name] = {"geometric_mean": mean, "peers": peers, "ratios": ratios}
    names = list(dict.fromkeys(row["name"] for one in comparisons for row in one["contenders"]))
    return {
        "schema": 2, "kind": "bench",
        "manifest": {
            "schema": 2, "kind": "bench", "seed": seed,
            "command": ["pybuf", "bench", "lifo-pair", "random-replacement", "sqlite",
                        "--metric", "time,latency,memory", "--rounds", "20", "--seed", str(seed), "-o", "found"],
            "contenders": [{"name": name, "library": None, "settings": None, "same_as": None} for name in names],
            "workloads": [{"name": one["workload"]["name"], "parameters": one["workload"]["parameters"], "trace": None,
                           "digest": None} for one in comparisons],
            "metrics": ["time", "latency", "memory"], "threads": [1], "touch": "line", "rounds": 20, "time_s": None,
            "live_bytes": None, "cpus": None, "passes": ["first", "later"], "order": "exact",
            "is_oversubscribed": False,
        },
        "fingerprint": {
            "cpu_model": "AMD EPYC 7B13", "libc": "glibc 2.36", "kernel": "6.18", "thp": "madvise",
            "python": "CPython 3.11.7", "gil": True, "contenders": dict.fromkeys(names, "3f5a9c"),
        },
        "machine": {"processor": "AMD EPYC 7B13", "processors": "2", "system": "Linux 6.18 x86_64",
                    "c_library": "glibc 2.36", "python": "CPython 3.11.7", "is_address_randomized": True},
        "is_complete": is_complete, "seed": seed, "comparisons": comparisons, "lead": lead or None,
    }


SQLITE = {
    "name": "sqlite", "recorded_events": 448_210, "recorded_calls": 401_330, "sizes": 1_283,
    "peak_live_bytes": 9_134_080, "peak_live_blocks": 31_877,
}


def whole(seed: int = 7) -> dict[str, Any]:
    """Everything that a report can show."""
    return result([
        timed(seed, "lifo-pair", "a block taken and given back, 64 others of its class live", 11, 0.013,
              absent=[MISSING, DISQUALIFIED], size=1500, live=64),
        timed(seed + 1, "random-replacement", "blocks of 16 to 1500 bytes replaced at random", 38, 0.04,
              absent=[MISSING], live=100_000, threads=2),
        timed(seed + 2, "sqlite", "sqlite3's shell, recorded", 9, 0.05, absent=[MISSING], trace=SQLITE),
        delayed(seed + 3),
        resident(seed + 4),
    ])


def small(seed: int = 9) -> dict[str, Any]:
    """One comparison of a few rounds, in time only."""
    return result([timed(seed, "lifo-pair", "a block taken and given back", rounds=5, passes=("all",))])


if __name__ == "__main__":
    with open(sys.argv[1], "w") as file:
        json.dump(whole(), file)
