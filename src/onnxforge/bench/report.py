"""Results for people: lines for the terminal, and a page that needs nothing else to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from typing import Any

from onnxforge.bench import plot, results
from onnxforge.bench.providers import CPU
from onnxforge.bench.statistics import Estimate
from onnxforge.errors import BenchmarkError

_SHOWN = 8


def milliseconds(estimate: list[float]) -> str:
    """A time and its interval, "12.3 ms (12.1 to 12.6)"."""
    value, low, high = (1e3 * each for each in estimate)
    return f"{value:.3g} ms ({low:.3g} to {high:.3g})"


def verdict(ratio: list[float]) -> str:
    """A ratio of times in words: of the first model to the one it is compared with."""
    estimate = Estimate(*ratio)
    if estimate.is_one:
        return f"no difference: {estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
    change = "less" if estimate.value < 1 else "more"
    return (
        f"{abs(1 - estimate.value):.1%} {change} time: "
        f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
    )


def placement(row: Mapping[str, Any]) -> str:
    """Which provider ran how many nodes, in how many pieces."""
    nodes = ", ".join(f"{n} {provider_name(name)}" for name, n in row["nodes"].items())
    pieces = row["partitions"]
    if set(row["nodes"]) <= {CPU}:
        return nodes
    return f"{nodes}; {pieces} partition{'' if pieces == 1 else 's'}"


def provider_name(name: str) -> str:
    """A provider's name without what all of them end in."""
    return name.removesuffix("ExecutionProvider") or "none"


def lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    """What was found out about models that were measured together."""
    first = rows[0]
    batch = f", batch {first['batch']}" if first["batch"] is not None else ""
    yield f"{first['ep']}, {first['threads']} thread(s), level {first['level']}{batch}"
    for row in rows:
        yield f"  {row['file']}"
        if "error" in row:
            yield f"    not measured: {row['error']}"
            continue
        p90, p95 = row["p90"][0], row["p95"][0]
        yield f"    latency     {milliseconds(row['median'])}, p90 {1e3 * p90:.3g}, p95 {1e3 * p95:.3g}"
        yield (
            f"    throughput  {row['throughput']:.4g}/s of {row['runs']} runs; first run "
            f"{1e3 * row['first_run_seconds'][0]:.3g} ms, session {1e3 * row['session_seconds'][0]:.3g} ms"
        )
        yield f"    memory      {row['peak_bytes'] / 1e6:.1f} MB at most"
        yield f"    nodes       {placement(row)}"
        yield from (f"    warning     {each}" for each in row["warnings"])
    for row in rows[1:]:
        if "ratio" in row:
            yield f"  {first['file']} against {row['file']}: {verdict(row['ratio'])}"


def page() -> Callable[[Mapping[str, Any]], str]:
    """What makes one HTML page of results.  Raises `BenchmarkError` if Jinja is not installed."""
    try:
        import jinja2
    except ImportError as error:
        raise BenchmarkError(
            "the page is written with Jinja: pip install 'onnxforge[bench]'"
        ) from error
    source = resources.files("onnxforge.bench").joinpath("report.html").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "milliseconds": milliseconds,
        "verdict": verdict,
        "placement": placement,
        "provider": provider_name,
    }
    template = environment.from_string(source)

    def render(found: Mapping[str, Any]) -> str:
        rows = results.figures(found["rows"])
        return template.render(
            found=found,
            rows=rows,
            picture=plot.ratios(rows),
            failed=[row for row in found["rows"] if "error" in row],
            longest=max((row["p95"][2] for row in rows), default=1.0),
            shown=_SHOWN,
        )

    return render
