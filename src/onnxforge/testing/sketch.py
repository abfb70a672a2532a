"""A model under construction: what the rules of `operators` draw their nodes into."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st
from onnx import GraphProto, TensorProto, helper

from onnxforge.storage import from_array
from onnxforge.testing.operators.rules import BOOL, FLOAT, FLOAT16
from onnxforge.testing.operators.sizes import fits

T = TypeVar("T")


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
        self.known: dict[str, Tensor] = {}
        self.arrays: dict[str, TensorProto] = {}
        self._prefix = prefix
        self._count = 0

    def body(self, prefix: str, tensors: Sequence[Tensor]) -> Sketch:
        """The graph of a node of this one, which reads *tensors*."""
        inner = Sketch(self.draw, self.opset, prefix)
        inner.tensors = list(tensors)
        inner.known, inner.arrays = self.known, self.arrays
        return inner

    def draft(self, tensors: Sequence[Tensor]) -> Sketch:
        """What may become part of this sketch, by `adopt`, and reads *tensors*."""
        draft = copy(self)
        draft.graph = GraphProto()
        draft.tensors, draft.constants = list(tensors), list(self.constants)
        return draft

    def adopt(self, draft: Sketch, tensors: Sequence[Tensor]) -> None:
        """Add what was drawn into *draft*, of which *tensors* can be read from now on."""
        self.graph.MergeFrom(draft.graph)
        self.constants, self._count = draft.constants, draft._count
        for tensor in tensors:
            self.show(tensor)

    def show(self, tensor: Tensor) -> Tensor:
        """Let a value be read by what is drawn from now on."""
        self.tensors.append(tensor)
        self.known[tensor.name] = tensor
        return tensor

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
            special = self.draw(st.sampled_from([None] * 4 + [0.0, 1.0, 4.0, -1.0]))
            array = random.uniform(0.25, 1.5, shape) if special is None else np.full(shape, special)
        elif dtype == BOOL:
            array = random.integers(0, 2, shape)
        else:
            array = random.integers(low, high + 1, shape)
        tensor = self.array(np.asarray(array).astype(helper.tensor_dtype_to_np_dtype(dtype)))
        self.constants.append(tensor)
        return tensor

    def number(self, number: float, like: Tensor | None) -> Tensor:
        """A constant of one element, which does not raise the rank of *like*."""
        rank = self.draw(st.sampled_from([0] * 4 + [1, like.rank])) if like and like.rank else 0
        dtype = helper.tensor_dtype_to_np_dtype(like.dtype if like else FLOAT)
        return self.array(np.full((1,) * rank, number, dtype))

    def declare(self, dtype: int, shape: Sequence[Any]) -> Tensor:
        """An input of the graph."""
        tensor = Tensor(self.name("x"), dtype, tuple(shape))
        self.graph.input.append(helper.make_tensor_value_info(tensor.name, dtype, shape))
        return self.show(tensor)

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
        self.arrays[tensor.name] = tensor
        known = Tensor(tensor.name, tensor.data_type, array.shape)
        self.known[tensor.name] = known
        return known

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
        for output in outputs:
            self.show(output)
        return outputs[0]
