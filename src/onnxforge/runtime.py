"""Running models: the one door through which passes and checks compute anything.

The baseline is ONNX Runtime *with its own optimizer off*, which would otherwise apply the very
rewrites under test to both sides and hide a wrong one; where it has no kernel, ONNX's reference
evaluator decides.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from onnx import ModelProto

from onnxforge import loops, storage
from onnxforge.errors import EvaluationError, TooLongError

Feeds = Mapping[str, Any]
Level = Literal["disable", "basic", "extended", "all"]
"""How far ONNX Runtime's own optimizer may go: its graph optimization levels."""


_LEVELS: Mapping[Level, str] = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}

LOOP_SECONDS = 60.0
"""How long a model may run if nobody can tell how often its loops do."""
ABSURD_SECONDS = 10.0
"""How long if they say that they run more often than any could; a gigabyte may come of that."""


class Session:
    """A model made ready to run; `runtime` says by what.

    Weights on disk are mapped, not copied.  Raises `EvaluationError` if neither ONNX Runtime nor
    the reference evaluator takes the model; at any *level* but "disable" only the former is asked.
    """

    def __init__(
        self, proto: ModelProto, folder: Path | None = None, level: Level = "disable"
    ) -> None:
        try:
            self._session: _OnnxRuntime | _Reference = _OnnxRuntime(proto, folder, level)
            off = "its optimizations off"
            self.runtime = f"ONNX Runtime, {off if level == 'disable' else f'level {level}'}"
        except EvaluationError as refusal:
            if level != "disable":
                raise
            try:
                self._session = _Reference(proto, folder)
            except EvaluationError as error:
                raise EvaluationError(f"{refusal}; {error}") from error
            self.runtime = "ONNX's reference evaluator"

    def run(self, feeds: Feeds) -> list[Any]:
        """The outputs, in order.

        Raises `EvaluationError` if the runtime fails on these feeds, `TooLongError` if it was
        stopped because a loop did not end within `LOOP_SECONDS`.
        """
        return self._session.run(feeds)


def evaluate(
    proto: ModelProto,
    feeds: Feeds | None = None,
    folder: Path | None = None,
    *,
    fallback: bool = True,
) -> list[Any]:
    """The outputs of a model, in order.

    Raises `EvaluationError` if nothing can compute them, `TooLongError` if a loop does not end.

    Without *fallback* only ONNX Runtime may: the reference evaluator also answers where a model
    fails, such as to a division by zero.
    """
    try:
        return _OnnxRuntime(proto, folder).run(feeds or {})
    except EvaluationError as refusal:
        if not fallback or isinstance(refusal, TooLongError):
            raise
        try:
            return _Reference(proto, folder).run(feeds or {})
        except EvaluationError as error:
            raise EvaluationError(f"{refusal}; {error}") from error


def reference(proto: ModelProto, feeds: Feeds, folder: Path | None = None) -> list[Any]:
    """The outputs by ONNX's own reference evaluator: slow, and the definition of correct."""
    return _Reference(proto, folder).run(feeds)


class _OnnxRuntime:
    def __init__(self, proto: ModelProto, folder: Path | None, level: Level = "disable") -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise EvaluationError(f"ONNX Runtime is not installed: {error}") from error
        self._seconds = _seconds(proto, folder)
        options = onnxruntime.SessionOptions()
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = getattr(levels, _LEVELS[level])
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        skeleton, mapped = storage.detach(proto, folder)
        # What nothing reads ONNX Runtime may drop before it takes the array, and fail then.
        needed = _mentioned(skeleton)
        for index in reversed(range(len(skeleton.graph.initializer))):
            if (name := skeleton.graph.initializer[index].name) in mapped and name not in needed:
                del skeleton.graph.initializer[index], mapped[name]
        # The arrays must outlive the session, which reads their memory.
        self._arrays = list(mapped.values())
        if mapped:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in self._arrays]
            options.add_external_initializers(list(mapped), values)
        try:
            self._session = onnxruntime.InferenceSession(
                skeleton.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises types of its own, one per status
            raise EvaluationError(f"ONNX Runtime refuses the model: {error}") from error

    def run(self, feeds: Feeds) -> list[Any]:
        try:
            # A scalar of numpy is no array, and what its arithmetic makes of those of no dimension.
            arrays = {
                k: np.asarray(v) if isinstance(v, np.generic) else v for k, v in feeds.items()
            }
            with _stopped_after(self._seconds) as options:
                outputs: Sequence[Any] = self._session.run(None, arrays, options)
        except Exception as error:
            if options is not None and options.terminate:
                raise _too_long(self._seconds) from error
            raise EvaluationError(f"ONNX Runtime fails: {error}") from error
        return list(outputs)


class _Reference:
    def __init__(self, proto: ModelProto, folder: Path | None) -> None:
        from onnx.reference import ReferenceEvaluator

        seconds = _seconds(proto, folder)
        try:
            self._evaluator = ReferenceEvaluator(
                storage.materialize(proto, folder),
                new_ops=None if seconds is None else [_loop_for(seconds)],
            )
        except Exception as error:  # it raises whatever the operators' Python code raises
            raise EvaluationError(f"the reference evaluator refuses the model: {error}") from error

    def run(self, feeds: Feeds) -> list[Any]:
        try:
            outputs = self._evaluator.run(None, dict(feeds))
        except TooLongError:
            raise
        except Exception as error:
            raise EvaluationError(f"the reference evaluator fails: {error}") from error
        return list(outputs)


def _seconds(proto: ModelProto, folder: Path | None) -> float | None:
    """How long a model may run; None if it is sure to end."""
    trips = loops.most_trips(proto, folder)
    if trips <= loops.MAX_TRIPS:
        return None
    return LOOP_SECONDS if math.isinf(trips) else ABSURD_SECONDS


def _too_long(seconds: float | None) -> TooLongError:
    return TooLongError(f"stopped after {seconds:.0f} seconds: a loop of the model may not end")


@contextmanager
def _stopped_after(seconds: float | None) -> Iterator[Any]:
    """The options of a run that is told to end once its time is up; None if it may take any."""
    if seconds is None:
        yield None
        return
    import onnxruntime

    options = onnxruntime.RunOptions()
    timer = threading.Timer(seconds, setattr, (options, "terminate", True))
    timer.start()
    try:
        yield options
    finally:
        timer.cancel()


def _loop_for(seconds: float) -> Any:
    """The reference evaluator's Loop, which stops after some time."""
    from onnx.reference.ops.op_loop import Loop as EndlessLoop

    class Loop(EndlessLoop):
        op_domain = ""
        _run_body: Any

        def _run(self, *inputs: Any, **options: Any) -> Any:
            end = time.monotonic() + seconds
            run_body = self._run_body

            def run_in_time(*values: Any, **context: Any) -> Any:
                if time.monotonic() > end:
                    raise _too_long(seconds)
                return run_body(*values, **context)

            self._run_body = run_in_time
            try:
                return super()._run(*inputs, **options)  # type: ignore[no-untyped-call]
            finally:
                self._run_body = run_body

    return Loop


def _mentioned(model: ModelProto) -> set[str]:
    """The names that a node reads, or that are inputs or outputs, in any graph of the model."""
    names: set[str] = set()
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        names.update(info.name for info in (*graph.input, *graph.output))
        for node in graph.node:
            names.update(node.input)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    graphs.append(attribute.g)
                graphs += attribute.graphs
    return names
