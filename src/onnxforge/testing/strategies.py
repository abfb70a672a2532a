"""Random models: a Hypothesis strategy of valid, typed ONNX models over more than 100 operators."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, TensorProto, helper

from onnxforge.ir.operators import schema
from onnxforge.storage import from_array
from onnxforge.testing.operators import BOOL, FLOAT, FLOAT16, INT64, RULES, fits

T = TypeVar("T")
DOMAIN = "test.functions"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of a model under construction; a size is a number, or "N" for the dynamic one."""

    name: str
    dtype: int
    shape: tuple[Any, ...]

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def is_static(self) -> bool:
        """Whether all sizes are numbers."""
        return all(isinstance(size, int) for size in self.shape)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes; those of dynamic dimensions must not matter."""
        return self.shape


class Sketch:
    """A graph under construction: what there is to read, and how to add to it."""

    def __init__(
        self, draw: Callable[[st.SearchStrategy[T]], T], opset: int, prefix: str = ""
    ) -> None:
        self.draw: Any = draw
        self.opset = opset
        self.graph = GraphProto(name=f"{prefix}g")
        self.tensors: list[Tensor] = []
        self.constants: list[Tensor] = []
        self._prefix = prefix
        self._count = 0

    def name(self, stem: str) -> str:
        """A name of its own."""
        self._count += 1
        return f"{self._prefix}{stem}{self._count}"

    def pick(
        self,
        dtypes: Container[int] | None,
        *,
        ranks: Container[int] = range(6),
        static: Iterable[int] = (),
        empty: bool = True,
        like: Callable[[Tensor], bool] = lambda _: True,
    ) -> Tensor | None:
        """A value to read, with one of these types and ranks, and numbers for the *static* axes."""
        axes = list(static)

        def suits(tensor: Tensor) -> bool:
            sizes = [tensor.shape[a] for a in axes if -tensor.rank <= a < tensor.rank]
            return (
                (dtypes is None or tensor.dtype in dtypes)
                and tensor.rank in ranks
                and all(isinstance(size, int) for size in sizes)
                and (empty or 0 not in tensor.shape)
                and like(tensor)
            )

        found = [tensor for tensor in self.tensors if suits(tensor)]
        # The latest first: shrinking then leads to chains, which read best.
        return self.draw(st.sampled_from(found[::-1])) if found else None

    def image(self) -> Tensor | None:
        """A float tensor of shape [N, C, H, W] with known C, H and W."""
        return self.pick((FLOAT,), ranks=(4,), static=(1, 2, 3), empty=False)

    def partner(self, a: Tensor, *, one_way: bool = False) -> Tensor:
        """Another value, or a constant, that broadcasts with *a*; *one_way*: to the shape of it."""
        kind = self.draw(st.sampled_from(["value", "scalar", "same", "row"]))
        if kind == "value":
            other = self.pick((a.dtype,), like=lambda t: fits(t.shape, a.shape))
            if other is not None and not one_way:
                return other
        shape = tuple(size if isinstance(size, int) else 1 for size in a.shape)
        if kind == "row":
            shape = shape[-1:]
        elif kind == "scalar":
            shape = self.draw(st.sampled_from([(), (1,)])) if a.rank else ()
        return self.constant(a.dtype, shape)

    def axis(self, x: Tensor) -> int:
        """One of the axes, counted from either end."""
        return int(self.draw(st.integers(-x.rank, x.rank - 1)))

    def constant(self, dtype: int, shape: Sequence[int], *, low: int = -3, high: int = 3) -> Tensor:
        """A constant, new or one there already is; shared constants are where fusions go wrong."""
        shape = tuple(shape)
        again = [c for c in self.constants if (c.dtype, c.shape) == (dtype, shape)]
        if again and (low, high) == (-3, 3) and self.draw(st.booleans()):
            return self.draw(st.sampled_from(again))  # type: ignore[no-any-return]
        random = np.random.default_rng(self.draw(st.integers(0, 3)))
        if dtype in (FLOAT, FLOAT16):
            special = self.draw(st.sampled_from([None, None, None, 0.0, 1.0]))
            array = random.uniform(0.25, 1.5, shape) if special is None else np.full(shape, special)
        elif dtype == BOOL:
            array = random.integers(0, 2, shape)
        else:
            array = random.integers(low, high + 1, shape)
        tensor = self.array(np.asarray(array).astype(helper.tensor_dtype_to_np_dtype(dtype)))
        self.constants.append(tensor)
        return tensor

    def ints(self, numbers: Sequence[int]) -> Tensor:
        """A constant list of int64."""
        return self.array(np.array(numbers, np.int64))

    def scalar(self, dtype: int, number: float) -> Tensor:
        """A constant of rank 0."""
        return self.array(np.array(number, helper.tensor_dtype_to_np_dtype(dtype)))

    def array(self, array: Any) -> Tensor:
        """A constant, as an initializer or as a Constant node."""
        array = np.asarray(array)
        tensor = from_array(array, self.name("w"))
        if self.draw(st.booleans()):
            self.graph.initializer.append(tensor)
        else:
            self.graph.node.append(helper.make_node("Constant", [], [tensor.name], value=tensor))
        return Tensor(tensor.name, tensor.data_type, array.shape)

    def add(
        self,
        op_type: str,
        inputs: Sequence[Tensor | None],
        dtype: int,
        shape: Sequence[Any],
        *,
        extra: Sequence[tuple[int, Sequence[Any]]] = (),
        domain: str = "",
        **attributes: Any,
    ) -> Tensor:
        """A node; *extra* are the types and shapes of its further outputs."""
        outputs = [Tensor(self.name("v"), dtype, tuple(shape))]
        outputs += [Tensor(self.name("v"), kind, tuple(sizes)) for kind, sizes in extra]
        names = ["" if each is None else each.name for each in inputs]
        node = helper.make_node(
            op_type, names, [o.name for o in outputs], domain=domain, **attributes
        )
        self.graph.node.append(node)
        self.tensors += outputs
        return outputs[0]


@st.composite
def models(
    draw: Any,
    *,
    opset: int = 18,
    max_nodes: int = 12,
    control_flow: bool = True,
    functions: bool = True,
    prefer: Sequence[str] = (),
) -> ModelProto:
    """Valid ONNX models of up to *max_nodes* drawn nodes, which ONNX Runtime can run.

    They have dynamic and fixed dimensions, float32, float16, int8, int32, int64 and bool tensors,
    constants in both forms and shared ones, Ifs and Loops that read values from outside, calls of
    functions, values that are outputs twice over and dead ends.  No operator is random.  Every
    other operator is one of *prefer*, as far as these are among those known, lest a pass for a few
    operators finds nothing to do.
    """
    sketch = Sketch(draw, opset)
    known = [op_type for op_type in sorted(RULES) if schema(op_type, "", opset) is not None]
    for dtype, shape in draw(st.lists(st.sampled_from(_INPUTS), min_size=1, max_size=3)):
        _declare(sketch, dtype, shape)
    preferred = [op_type for op_type in prefer if op_type in known]
    called = False
    kinds = ["operator"] * 9 + ["if", "loop", "call"]
    kinds += [each.lower() for each in ("If", "Loop") if each in prefer] * 6
    for _ in range(draw(st.integers(1, max_nodes))):
        kind = draw(st.sampled_from(kinds))
        if kind == "if" and control_flow:
            _if(sketch)
        elif kind == "loop" and control_flow:
            _loop(sketch)
        elif kind == "call" and functions:
            called = _call(sketch) or called
        else:
            is_preferred = bool(preferred) and draw(st.booleans())
            RULES[draw(st.sampled_from(preferred if is_preferred else known))](sketch)
    computed = [t for t in sketch.tensors if any(t.name in n.output for n in sketch.graph.node)]
    if not computed:
        computed = [sketch.add("Identity", sketch.tensors[:1], *_type(sketch.tensors[0]))]
    outputs = draw(st.lists(st.sampled_from(computed[::-1]), min_size=1, max_size=3, unique=True))
    for tensor in outputs:
        shape = [size if isinstance(size, int) else None for size in tensor.shape]
        sketch.graph.output.append(helper.make_tensor_value_info(tensor.name, tensor.dtype, shape))
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(sketch.graph, opset_imports=opsets, ir_version=10)
    if called:
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
        model.functions.append(_swish(opset))
    return model


_INPUTS = [
    (FLOAT, ("N", 4)),
    (FLOAT, ("N", 4, 4, 4)),
    (FLOAT, (2, 3)),
    (FLOAT, (1, 2, 5, 5)),
    (FLOAT, (1, 2, 3)),
    (FLOAT16, ("N", 4)),
    (INT64, (3,)),
    (TensorProto.INT32, (2, 3)),
    (BOOL, (2, 1)),
    (FLOAT, ()),
]


def _type(tensor: Tensor) -> tuple[int, tuple[Any, ...]]:
    return tensor.dtype, tensor.shape


def _declare(sketch: Sketch, dtype: int, shape: Sequence[Any]) -> None:
    tensor = Tensor(f"x{len(sketch.tensors)}", dtype, tuple(shape))
    sketch.graph.input.append(helper.make_tensor_value_info(tensor.name, dtype, shape))
    sketch.tensors.append(tensor)


def _body(sketch: Sketch, name: str, result: Tensor) -> GraphProto | None:
    """A body that computes something of the type and shape of *result*, which it may read."""
    inner = Sketch(sketch.draw, sketch.opset, f"{result.name}_{name}_")
    inner.tensors = [result]
    for _ in range(sketch.draw(st.integers(1, 3))):
        op_type = sketch.draw(st.sampled_from(["Relu", "Neg", "Add", "Mul", "Identity", "Sigmoid"]))
        RULES[op_type](inner)
    same = [t for t in inner.tensors if _type(t) == _type(result) and t is not result]
    if not same:
        return None
    output = helper.make_tensor_value_info(same[-1].name, result.dtype, None)
    inner.graph.output.append(output)
    return inner.graph


def _if(sketch: Sketch) -> None:
    x = sketch.pick((FLOAT,))
    if x is None:
        return
    known = sketch.draw(st.booleans())
    condition = sketch.scalar(BOOL, known) if known else sketch.pick((BOOL,), ranks=(0,))
    if condition is None:
        total = sketch.add("ReduceSum", [x], FLOAT, (), keepdims=0)
        condition = sketch.add("Greater", [total, sketch.scalar(FLOAT, 0)], BOOL, ())
    branches = [_body(sketch, name, x) for name in ("then", "else")]
    if all(branch is not None for branch in branches):
        then, other = branches
        extra = [_type(x)] if sketch.draw(st.booleans()) else []
        for branch in (then, other) if extra else ():
            assert branch is not None
            name = f"{branch.name}_same"
            branch.node.append(helper.make_node("Identity", [x.name], [name]))
            branch.output.append(helper.make_tensor_value_info(name, x.dtype, None))
        sketch.add(
            "If", [condition], FLOAT, x.shape, extra=extra, then_branch=then, else_branch=other
        )


def _loop(sketch: Sketch) -> None:
    x = sketch.pick((FLOAT,))
    if x is None:
        return
    inner = Sketch(sketch.draw, sketch.opset, f"{x.name}_loop{len(sketch.graph.node)}_")
    names = [f"{inner.graph.name}_{part}" for part in ("i", "go", "carried")]
    carried = Tensor(names[2], FLOAT, x.shape)
    inner.tensors = [carried]
    if sketch.draw(st.booleans()):
        inner.tensors.append(x)  # a value from outside
    RULES[sketch.draw(st.sampled_from(["Relu", "Sub", "Tanh"]))](inner)
    result = inner.tensors[-1]
    if _type(result) != _type(x) or result in (carried, x):
        return
    go = inner.add("Identity", [Tensor(names[1], BOOL, ())], BOOL, ())
    for name, dtype in zip(names, (INT64, BOOL, FLOAT), strict=True):
        shape = () if dtype != FLOAT else None
        inner.graph.input.append(helper.make_tensor_value_info(name, dtype, shape))
    inner.graph.output.append(helper.make_tensor_value_info(go.name, BOOL, ()))
    inner.graph.output.append(helper.make_tensor_value_info(result.name, FLOAT, None))
    trips = sketch.scalar(INT64, sketch.draw(st.integers(0, 3)))
    sketch.add("Loop", [trips, sketch.scalar(BOOL, True), x], FLOAT, x.shape, body=inner.graph)


def _call(sketch: Sketch) -> bool:
    x = sketch.pick((FLOAT,))
    if x is None:
        return False
    sketch.add("Swish", [x], FLOAT, x.shape, domain=DOMAIN, alpha=0.5)
    return True


def _swish(opset: int) -> Any:
    """A function, x * sigmoid(alpha * x): alpha is the caller's, and an Identity is idle."""
    constant = helper.make_node("Constant", [], ["a"])
    constant.attribute.add(name="value_float", type=1, ref_attr_name="alpha")
    nodes = [
        constant,
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Mul", ["same", "a"], ["scaled"]),
        helper.make_node("Sigmoid", ["scaled"], ["gate"]),
        helper.make_node("Mul", ["x", "gate"], ["y"]),
    ]
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_function(DOMAIN, "Swish", ["x"], ["y"], nodes, opsets, ["alpha"])
