"""One operator applied to what is known of its inputs: what the rules of this package read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import Any, Generic, TypeVar

from onnxforge.shapes import dims
from onnxforge.shapes.dims import DimLike, Shape, is_named, known_different

MAX_ELEMENTS = 64
"""Tensors with more elements are no shapes; their contents are not followed."""


@dataclass(frozen=True, slots=True)
class ShapeValue:
    """The contents of an integer or bool tensor of rank 0 or 1, element by element.

    An element is a number (1 and 0 for bools), an expression, or None where it is unknown.  A
    float tensor has one too where each of its elements is a whole number its type can hold.
    """

    elements: Shape
    rank: int = 1

    def __post_init__(self) -> None:
        if self.rank not in (0, 1) or (self.rank == 0 and len(self.elements) != 1):
            raise ValueError(f"{len(self.elements)} elements are no tensor of rank {self.rank}")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor itself."""
        return (len(self.elements),) if self.rank else ()

    def constants(self) -> list[int] | None:
        """The elements as numbers, or None unless all of them are."""
        numbers: list[int] = []
        for element in self.elements:
            if not isinstance(element, int):
                return None
            numbers.append(element)
        return numbers


@dataclass(frozen=True, slots=True)
class KnownInput:
    """What is known of an input: shape, `TensorProto.DataType`, contents; each None if unknown."""

    shape: Shape | None = None
    dtype: int | None = None
    value: ShapeValue | None = None


class Unknown(Exception):  # noqa: N818 - not an error: the rule cannot tell
    """A rule found that it does not know enough."""


@dataclass(frozen=True, slots=True)
class Call:
    """An operator with its attributes and inputs; `Unknown` where a rule asks for too much."""

    op_type: str
    attributes: Mapping[str, Any]
    opset: int
    inputs: Sequence[KnownInput | None]
    outputs: int

    def has(self, index: int) -> bool:
        """Whether the input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def input(self, index: int) -> KnownInput:
        """What is known of an input that must be there."""
        known = self.inputs[index] if index < len(self.inputs) else None
        if known is None:
            raise Unknown
        return known

    def shape(self, index: int = 0) -> Shape:
        """The shape of an input."""
        known = self.input(index)
        if known.shape is not None:
            return known.shape
        if known.value is not None:
            return known.value.shape
        raise Unknown

    def value(self, index: int = 0) -> ShapeValue:
        """The contents of an input."""
        value = self.input(index).value
        if value is None:
            raise Unknown
        return value

    def numbers(self, index: int) -> list[int]:
        """The contents of an input, which must be numbers."""
        numbers = self.value(index).constants()
        if numbers is None:
            raise Unknown
        return numbers

    def number(self, index: int) -> int:
        """The only element of an input, which must be a number."""
        numbers = self.numbers(index)
        if len(numbers) != 1:
            raise Unknown
        return numbers[0]

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        return int(self.attributes.get(name, default))

    def integers(self, name: str) -> list[int] | None:
        """A list attribute, or None where it is not given."""
        given = self.attributes.get(name)
        return None if given is None else [int(number) for number in given]

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        given = self.attributes.get(name, default)
        return given.decode() if isinstance(given, bytes) else str(given)

    def axes(self, rank: int, index: int = 1) -> list[int] | None:
        """The attribute `axes`, or where it is absent that input, not negative; None if neither."""
        given = self.integers("axes")
        if given is None:
            if not self.has(index):
                return None
            given = self.numbers(index)
        return [axis_of(axis, rank) for axis in given]


Result = TypeVar("Result")


class Rules(Generic[Result]):
    """Functions from a `Call` to what is known of each output, by operator; decorates them."""

    def __init__(self) -> None:
        self._rules: dict[str, Callable[[Call], Sequence[Result | None]]] = {}

    def __call__(
        self, *op_types: str
    ) -> Callable[
        [Callable[[Call], Sequence[Result | None]]], Callable[[Call], Sequence[Result | None]]
    ]:
        """Decorate the rule of one or more operators."""

        def add(
            rule: Callable[[Call], Sequence[Result | None]],
        ) -> Callable[[Call], Sequence[Result | None]]:
            self._rules.update(dict.fromkeys(op_types, rule))
            return rule

        return add

    def __or__(self, other: Rules[Result]) -> Rules[Result]:
        union: Rules[Result] = Rules()
        union._rules = self._rules | other._rules
        return union

    def __contains__(self, op_type: str) -> bool:
        return op_type in self._rules

    def apply(self, call: Call) -> list[Result | None]:
        """What the rule of the operator says, padded with None to the number of outputs."""
        rule = self._rules.get(call.op_type)
        results: Sequence[Result | None] = []
        if rule is not None:
            # Nodes that are wrong in themselves trip over what should be there, anywhere.
            with suppress(Unknown, ArithmeticError, LookupError, ValueError):
                results = rule(call)
        return [*results, *[None] * call.outputs][: call.outputs]


def axis_of(axis: int, rank: int) -> int:
    """The axis counted from the front."""
    if not -rank <= axis < rank:
        raise Unknown
    return axis % rank


def total(sizes: Sequence[DimLike]) -> DimLike:
    """The product, which a zero makes known; 1 for none."""
    if any(isinstance(size, int) and size == 0 for size in sizes):
        return 0
    known = [size for size in sizes if size is not None]
    return prod(known, start=1) if len(known) == len(sizes) else None


def agreed(sizes: Sequence[DimLike]) -> DimLike:
    """What is known of one size from several claims that must all hold, numbers first, then names."""
    for size in sizes:
        if isinstance(size, int):
            return size
    named = (size for size in sizes if is_named(size))
    return next(named, None) or next((size for size in sizes if size is not None), None)


def broadcast(*shapes: Shape) -> Shape:
    """The shape that *shapes* broadcast to, provided they do.

    A symbol against 1 is the symbol, against any other number that number: it can but be that,
    or 1.
    """
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(_broadcast(sizes) for sizes in zip(*padded, strict=True))


def _broadcast(sizes: Sequence[DimLike]) -> DimLike:
    known = [size for size in sizes if size is not None]
    if len(known) == len(sizes):
        with suppress(dims.TooComplexError):
            return dims.broadcast(known)
    # A size that cannot be 1 decides.
    return next((size for size in known if known_different(size, 1)), None)
