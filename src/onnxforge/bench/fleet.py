"""Measuring on many machines: workers of a Dask scheduler, told apart by their resources.

    dask worker tcp://HOST:8786 --nthreads 1 --resources "rpi5=1"

A worker with one of its resource has one job at a time, so that two never disturb each other.  It
needs this library; the models are sent.  Work on a machine that goes away is done by another of
its kind.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxforge.bench.configuration import Settings
from onnxforge.bench.jobs import Answer, Job, introduction, unpacked
from onnxforge.bench.measure import describe
from onnxforge.errors import BenchmarkError

if TYPE_CHECKING:
    import distributed

_RETRIES = 2
_PATIENCE = 10.0
"""Seconds to wait for a scheduler."""


def answers(
    scheduler: str, resource: str, todo: Sequence[Job], settings: Settings
) -> Iterator[Answer]:
    """Run the jobs on the workers that have *resource*, which are taken to be of one kind.

    Rows come in the order in which they are done, and say on which `worker`.  A job that fails on
    worker after worker gives rows with an `error`.

    Raises `BenchmarkError` if there is no such scheduler, or no such worker.
    """
    with connected(scheduler) as client:
        expect_workers(client, resource)
        from distributed import as_completed

        futures = {}
        for job in todo:
            sent = client.submit(
                _measure,
                job.packed(),
                client.scatter(_contents(job), hash=False),
                asdict(settings),
                resources={resource: 1},
                retries=_RETRIES,
                pure=False,
            )
            futures[sent] = job
        is_first = True
        for future in as_completed(futures, loop=client.loop):  # type: ignore[no-untyped-call]  # Dask's
            if future.status != "finished":
                failure = future.exception()
                rows = [describe(m, futures[future].configuration) for m in futures[future].models]
                yield {"rows": [row | {"error": f"no worker could: {failure}"} for row in rows]}
                continue
            who, rows = future.result()
            if is_first:
                yield who
                is_first = False
            yield {"rows": rows}


def connected(scheduler: str) -> distributed.Client:
    """A connection to a scheduler.  Raises `BenchmarkError` if there is none, or no Dask."""
    try:
        import distributed
    except ImportError as error:
        raise BenchmarkError("schedulers are Dask's: pip install 'onnxforge[remote]'") from error
    try:
        return distributed.Client(  # type: ignore[no-untyped-call]  # Dask's
            scheduler, timeout=_PATIENCE, set_as_default=False
        )
    except (OSError, TimeoutError, ValueError) as error:
        raise BenchmarkError(f"{scheduler}: no scheduler answers: {error}") from error


def expect_workers(client: distributed.Client, resource: str) -> None:
    """Raise `BenchmarkError` if no worker has *resource*; work for it would wait for ever."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    kinds = sorted({kind for worker in workers for kind in worker.get("resources") or ()})
    if resource not in kinds:
        raise BenchmarkError(
            f"no worker has the resource {resource!r}, only {', '.join(kinds) or 'none at all'}: "
            f'start one with `dask worker SCHEDULER --nthreads 1 --resources "{resource}=1"`'
        )


def _contents(job: Job) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="onnxforge-") as folder:
        files = [*job.files(), *job.write_feeds(Path(folder))]
        return {name: path.read_bytes() for name, path in files}


def _measure(
    packed: Mapping[str, Any], contents: Mapping[str, bytes], settings: Mapping[str, Any]
) -> tuple[Answer, list[dict[str, Any]]]:
    """A job at a worker: what it says of itself, and the rows."""
    import distributed

    with tempfile.TemporaryDirectory(prefix="onnxforge-") as folder:
        for name, content in contents.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        who = introduction()
        rows = unpacked(packed, Path(folder)).run(Settings(**settings))
    worker = str(distributed.get_worker().address)
    return who, [row | {"worker": worker} for row in rows]
