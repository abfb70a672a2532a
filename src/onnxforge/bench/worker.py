"""One model under one configuration, in a process of its own.

Run as a file, not imported by way of the package: what it measures is ONNX Runtime with numpy, and
nothing of ours is in its memory.  It reads a request a line as JSON from stdin, and answers each
with a line on stdout:

    {"do": "open", "model": ..., "feeds": ..., ...}   what `Subject` takes
    {"do": "run", "times": 10}
    {"do": "close"}
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

_LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


class Subject:
    """A session, what creating it took, and how long its runs take.

    *feeds* is an .npz file with the inputs called *names*, in order; *providers* are names with options; *entries* session configuration;
    *cpus* those to run on; *profile* the start of a file name to write a profile to.
    """

    def __init__(
        self,
        model: str,
        feeds: str,
        names: list[str],
        providers: list[tuple[str, dict[str, str]]],
        threads: int = 1,
        level: str = "all",
        entries: dict[str, str] | None = None,
        cpus: list[int] | None = None,
        profile: str = "",
    ) -> None:
        if cpus:
            os.sched_setaffinity(0, cpus)
        with np.load(feeds) as arrays:
            self._feeds = {name: _fed(arrays[f"arr_{i}"]) for i, name in enumerate(names)}
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(
            onnxruntime.GraphOptimizationLevel, _LEVELS[level]
        )
        own_threads = any("intra_op_num_threads" in given for _, given in providers)
        options.intra_op_num_threads = 1 if own_threads else threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if profile:
            options.enable_profiling = True
            options.profile_file_prefix = profile
        for key, value in (entries or {}).items():
            options.add_session_config_entry(key, value)
        self._start = _memory("VmRSS")
        clock = time.perf_counter()
        self._session = onnxruntime.InferenceSession(
            model,
            options,
            providers=[name for name, _ in providers],
            provider_options=[given for _, given in providers],
        )
        self.session_seconds = time.perf_counter() - clock
        clock = time.perf_counter()
        self._session.run(None, self._feeds)
        self.first_run_seconds = time.perf_counter() - clock

    @property
    def providers(self) -> list[str]:
        """The providers the session really has."""
        return list(self._session.get_providers())

    @property
    def peak_bytes(self) -> int:
        """The most memory so far, above what there was before the session; 0 where unknown."""
        return max(0, _memory("VmHWM") - self._start)

    def run(self, times: int) -> list[float]:
        """Seconds that each of so many runs took."""
        run, feeds, clock = self._session.run, self._feeds, time.perf_counter
        seconds = []
        for _ in range(times):
            start = clock()
            run(None, feeds)
            seconds.append(clock() - start)
        return seconds

    def close(self) -> str:
        """End; the profile's file, if one was asked for."""
        is_profiled = self._session.get_session_options().enable_profiling
        return str(self._session.end_profiling()) if is_profiled else ""


def _fed(array: Any) -> Any:
    """Text as ONNX Runtime takes it, which files cannot hold; other arrays as they are."""
    return array.astype(object) if array.dtype.kind == "U" else array


def _memory(field: str) -> int:
    """A field of /proc/self/status in bytes; 0 where there is none."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    _, _, rest = status.partition(f"{field}:")
    return int(rest.split()[0]) << 10 if rest else 0


def main() -> None:
    """Answer requests until there are none."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    subject: Subject | None = None
    for line in sys.stdin:
        request = json.loads(line)
        action = request.pop("do")
        answer: dict[str, Any]
        try:
            if action == "open":
                subject = Subject(**request)
                answer = {
                    "session_seconds": subject.session_seconds,
                    "first_run_seconds": subject.first_run_seconds,
                    "providers": subject.providers,
                }
            elif subject is None:
                answer = {"error": "no model is open"}
            elif action == "run":
                answer = {"seconds": subject.run(request["times"])}
            else:
                peak = subject.peak_bytes
                answer = {"peak_bytes": peak, "profile": subject.close()}
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises types of its own
            answer = {"error": " ".join(str(error).split())}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
