"""The main job in one call: a model in, a better one out, compared with the first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from onnx import ModelProto

from onnxforge import interop, registry, targets
from onnxforge.contract import Interface
from onnxforge.errors import NotEquivalentError, OpsetError, PassError
from onnxforge.ir import Model
from onnxforge.ir.model import gc_paused
from onnxforge.manager import PassManager
from onnxforge.passes import Pass
from onnxforge.specialize import fix_shapes

if TYPE_CHECKING:
    from onnxforge.verify import Baseline, EditChecker


def optimize(
    model: interop.Source,
    passes: str | Pass | Iterable[str | Pass] | None = None,
    *,
    target: str | PathLike[str] = "onnx",
    verify: Literal["model", "edits", False] = "model",
    in_place: bool = False,
    freeze: bool = False,
    dims: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    opset: int | None = None,
    feeds: Mapping[str, Any] | None = None,
    max_rounds: int = 10,
    provenance: bool = False,
    keep_failure: str | PathLike[str] | None = None,
) -> Model:
    """The model after *passes*, run on samples and found to compute what it did before.

    Its `report` tells what was done, and on what was not compared.

    Args:
        model: A path, bytes, a `ModelProto`, a `Model`, an `onnx_ir.Model`, a
            `torch.onnx.ONNXProgram` or an `onnx_graphsurgeon.Graph`.  It stays as it is.
        passes: Names with options, as in `"standard, constant-folding(max_bytes=0)"`, passes, or a
            sequence of both.  They run in order, again and again until nothing changes.  Without,
            those of the target: `"standard"` for most.
        target: Where the model is to run, one of `targets.names()` or a `.json` file: no operator is
            introduced that it has no kernel for.  The default stands for whatever implements the
            standard; with *passes* of your own it is not enforced.
        verify: `"model"` compares the original and the result as a whole; `"edits"` also compares
            each edit as it is made, and leaves out those found wrong; False compares nothing.
        in_place: Change *model* itself, a `Model` or `ModelProto`, instead of a copy.  After an
            error it is what it was before.
        freeze: Take initializers off the list of inputs, so that they can be folded.
        dims: Sizes to fix symbolic dimensions at, by their names: a change of interface.
        input_shapes: Whole shapes to fix, by the names of inputs: a change of interface.
        opset: The version of ONNX's operators to raise the whole model to, before the passes run: a
            later one has operators that they can fuse to.
        feeds: The inputs to compare on, by name, as arrays; without, some are made up.
        max_rounds: How often to run the passes at most.
        provenance: Write into the metadata of each node a pass makes or changes which pass that was.
        keep_failure: A folder for what is found wrong: the pieces around a refused edit, or the
            models before and after the edit at fault, which costs a run for each halving.

    Raises:
        NotEquivalentError: The result computes something else; its `report` tells what was done.
        InterfaceError: A pass changed what callers rely on.
        InvalidModelError: The input is no valid model.
        OpsetError: The model is of a later opset, or has a node without a counterpart in *opset*,
            or one that the target does not run any longer.
        PassError: A pass is unknown, cannot take its options, fails, or introduces an operator that
            the target does not run.
        TypeError: *model* is nothing of the above, or cannot be changed in place.

    """
    if verify not in ("model", "edits", False):
        raise ValueError(f"verify={verify!r}: it can be 'model', 'edits' or False")
    place = targets.load(target)
    chosen = registry.resolve(place.passes if passes is None else passes)
    is_enforced = passes is None or target != "onnx"
    is_shared = isinstance(model, Model | ModelProto)
    if in_place and not is_shared:
        kind = type(model).__qualname__
        raise TypeError(f"a {kind} cannot be optimized in place: give a Model or a ModelProto")
    subject = interop.as_model(model)
    if is_shared and not in_place:
        subject = interop.park(subject.copy())
    with _undone_on_error(subject) if in_place else nullcontext():
        if freeze:
            subject.freeze()
        if dims or input_shapes:
            fix_shapes(subject, dims, input_shapes)
        interface = Interface.of(subject)
        check = _Check(subject, chosen, verify, feeds, keep_failure) if verify else None
        if opset is not None:
            from onnxforge.opset import raise_opset

            unserved = targets.strangers((), subject, place)
            raise_opset(subject, opset)
            lost = [op for op in targets.strangers((), subject, place) if op not in unserved]
            if lost and is_enforced:
                raise OpsetError(f"{place.title} does not run {', '.join(lost)} of opset {opset}")
            interface = interface.raised(opset)
            if check:
                check.rebase(subject)
        manager = PassManager(
            chosen,
            checker=check.edits if check else None,
            target=place if is_enforced else None,
            max_rounds=max_rounds,
            provenance=provenance,
        )
        with gc_paused():  # for the views as well, so that what is young is walked once
            operators = {(n.domain, n.op_type) for graph in subject.graphs() for n in graph}
            subject.report = manager.run(subject)
        new = targets.strangers(operators, subject, place)
        if new and is_enforced:
            raise PassError(f"a pass introduced {', '.join(new)}, which {place.title} does not run")
        subject.report.verify = verify or ""
        interface.check(subject)
        if check:
            check(subject)
    if isinstance(model, ModelProto) and in_place:
        interop.unpark(model)
    return subject


class _Check:
    """What is recorded of a model before the passes run, and asked of it after."""

    def __init__(
        self,
        model: Model,
        passes: list[Pass],
        verify: str,
        feeds: Mapping[str, Any] | None,
        keep: str | PathLike[str] | None,
    ) -> None:
        from onnxforge.verify import Baseline, EditChecker

        self.baseline: Baseline = Baseline(model, feeds)
        self.base = self.baseline.original
        self.edits: EditChecker | None = EditChecker() if verify == "edits" else None
        self.passes = passes
        self.folder = Path(keep) if keep is not None else None

    def rebase(self, model: Model) -> None:
        """Look for the edit at fault, if need be, among those made of *model* as it is now."""
        self.base = model.copy()

    def __call__(self, model: Model) -> None:
        """Raise if *model* is not what the recorded one was."""
        assert model.report is not None
        if self.edits is not None and self.folder is not None:
            for number, failure in enumerate(self.edits.failures, 1):
                failure.write(self.folder / f"edit-{number}")
        model.report.comparison = comparison = self.baseline.compare(model)
        if not comparison.is_equivalent:
            raise NotEquivalentError(f"{comparison}; {self._culprit(model)}", model.report)

    def _culprit(self, model: Model) -> str:
        """What is known of the edit at fault, or how to learn more."""
        if self.folder is None:
            return "keep_failure, --keep-failure on the command line, finds the edit at fault"
        from onnxforge.bisect import bisect

        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._is_good(self.base):
            self.base.save(self.folder / "after.onnx")
            return f"raising the opset alone is at fault; what comes of it is in {self.folder}"
        fault = bisect(self.base, self.passes, self._is_good)
        if fault is None:
            model.save(self.folder / "after.onnx")
            return f"no single edit is at fault; the result is in {self.folder}"
        fault.before.save(self.folder / "before.onnx")
        fault.after.save(self.folder / "after.onnx")
        return f"{fault}; the models before and after it are in {self.folder}"

    def _is_good(self, model: Model) -> bool:
        return self.baseline.compare(model).is_equivalent


@contextmanager
def _undone_on_error(model: Model) -> Iterator[None]:
    earlier = model.copy()
    try:
        yield
    except BaseException:
        model.restore(earlier)
        raise
