"""What is asked of our speed, and what was measured: the summary of `make bench`.

    python benchmarks/asked.py build/bench

reads what speed.py, start.py, scale.py, files.py, counts.py and test_core.py left in a folder.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import speed
import tables
from test_core import PASSES, STEPS

Row = dict[str, Any]


def row(what: str, measured: str, asked: str, is_met: bool | None) -> Row:
    met = "not measured" if is_met is None else "yes" if is_met else "no"
    return {"requirement": what, "measured": measured, "asked": asked, "met": met}


def at_most(what: str, values: Iterable[float], bound: float) -> Row:
    """All of *values* are to be no more than *bound*; the worst of them counts."""
    found = sorted(values)
    text = " to ".join(dict.fromkeys(f"{value:.3g}" for value in (found[:1] + found[-1:])))
    many = f" ({len(found)} of them)" if len(found) > 2 else ""
    return row(what, text + many, f"at most {bound:g}", found[-1] <= bound if found else None)


def everywhere(what: str, against: list[float]) -> Row:
    asked = f"{len(against)} of {len(against)}"
    measured = speed.ahead(against)
    return row(what, measured, asked, measured == asked if against else None)


def peers(store: Row) -> Iterator[Row]:
    models = list(store["models"].values())
    everything = [model["seconds"] for model in models]
    against = speed.ratios(everything, speed.FASTEST)
    mean = statistics.geometric_mean(against) if against else 0.0
    yield everywhere("as fast as the fastest peer, or faster, on each model", against)
    yield row(
        "the fastest peer's seconds to ours, geometric mean",
        f"{mean:.2f}",
        "at least 3",
        mean >= 3 if against else None,
    )
    slim = speed.ratios(everything, "onnxslim", speed.VERIFIED)
    yield everywhere("verified, as fast as onnxslim unverified, on each model", slim)

    def times(chosen: list[Row], tool: str) -> list[float]:
        return [1 / ratio for ratio in speed.ratios([m["seconds"] for m in chosen], tool)]

    large = [m for m in models if m["facts"]["megabytes"] > speed.LARGE]
    single = [m for m in large if m["facts"]["is one file"]]
    yield at_most("one file over 100 MB: times parse and serialize", times(single, speed.FLOOR), 1)
    kept = [m for m in large if m["facts"]["changed"] < 0.1]
    few = "over 100 MB, less than a tenth of the weights changed: times"
    yield at_most(f"{few} ONNX Runtime, basic", times(kept, speed.BASIC), 0.3)
    yield at_most(f"{few} onnxsim", times(kept, "onnxsim"), 0.1)
    norms = [m for m in models if m["facts"]["BatchNormalization"] >= 0.1 * m["facts"]["nodes"] > 1]
    basic = times(norms, speed.BASIC)
    yield at_most("a tenth BatchNormalization: times ONNX Runtime, basic, each", basic, 1)
    mean = [statistics.geometric_mean(basic)] if basic else []
    yield at_most("the same, geometric mean", mean, 1)


def scale(found: Row) -> Iterator[Row]:
    chain = found["A chain, in seconds"][0]
    times = [chain[speed.OURS] / chain[speed.BASIC]]
    yield at_most("an elementwise chain of 10,000: times ONNX Runtime, basic", times, 1)
    kinds = dict.fromkeys(row["graph"] for row in found["Scale"])
    once, again = "µs a node", "a second run, µs a node"
    edited = "one pass after an edit, µs"
    for kind in kinds:
        sizes = [row for row in found["Scale"] if row["graph"] == kind]
        what = f"{kind}: growth of µs a node, {sizes[0]['nodes']:,} to {sizes[-1]['nodes']:,}"
        if sizes[-1][once] is None:
            yield row(what, "not done in the time it has", "at most 1.5", is_met=False)
        else:
            yield at_most(what, [sizes[-1][once] / sizes[0][once]], 1.5)
    done = [size for size in found["Scale"] if size[edited] is not None]
    shares = [size[again] / size[once] for size in done]
    yield at_most("a second run: share of the first", shares, 0.05)
    shares = [size[edited] / (size[once] * size["nodes"]) for size in done]
    yield at_most("a pass after an edit: share of the first run", shares, 0.05)


def start(found: Row) -> Iterator[Row]:
    for row, bound in zip(found["Start"], (1.5, 3, 5), strict=True):
        yield at_most(f"{row['process']}: times `import onnx`", [row["times `import onnx`"]], bound)


def files(found: Row) -> Iterator[Row]:
    for row in found["Files and memory"]:
        name = row["model"]
        yield at_most(f"{name}: MB of anonymous memory", [row["MB in memory"]], 100)
        if row["onnx.load"]:
            share = row["load"] / row["onnx.load"]
            yield at_most(f"{name}: load, times onnx.load", [share], 0.05)
        yield at_most(f"{name}: save, times a copy of the file", [row["save"] / row["copy"]], 1.5)


def counts(found: Row) -> Iterator[Row]:
    for what in ("calls", "instructions"):
        values = [row[f"{what}, times those stored"] for row in found["Counts"]]
        known = [value for value in values if value]
        yield at_most(f"{what} of a run, times those stored", known, 1.02)
    sessions = [row["sessions"] for row in found["Counts"]]
    yield at_most("sessions to fold all constants of a model", sessions, 1)


def core(found: Row) -> tables.Table:
    """Microseconds a node at each size, by step and kind of graph; passes that take longest last."""
    table: dict[str, Row] = {}
    for each in found["benchmarks"]:
        given, extra = each["params"], each["extra_info"]
        step = given.get("name") or each["name"].partition("[")[0].removeprefix("test_")
        row = table.setdefault(f"{step}, {given['kind']}", {"step": step, "graph": given["kind"]})
        sizes = [size for kind, size in (STEPS + PASSES) if kind == given["kind"]]
        name = ("small", "medium", "large")[sizes.index(given["size"])]
        row[f"µs a node, {name}"] = extra["microseconds_per_node"]
        row["times parse and serialize"] = extra["times_parse_and_serialize"]
    return sorted(table.values(), key=lambda row: row.get("µs a node, large", 0.0))


PARTS = {"speed": peers, "scale": scale, "start": start, "files": files, "counts": counts}


def main() -> None:
    folder = Path(sys.argv[1])
    found = {name: json.loads((folder / f"{name}.json").read_text()) for name in (*PARTS, "core")}
    titled = {
        "Steps and passes": core(found["core"]),
        "What is asked, and what was measured": [
            row for name, part in PARTS.items() for row in part(found[name])
        ],
    }
    text = tables.markdown(titled)
    (folder / "asked.md").write_text(text)
    (folder / "asked.json").write_text(json.dumps(titled, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
