"""Random occurrences of a pattern: the nodes it asks for, or nearly those, drawn into a `Sketch`.

Each node is drawn by its operator's rule, as any other is.  Then what the pattern asks for takes
the place of what was drawn, and the node is kept if it is valid by ONNX's own inference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import starmap
from typing import Any

from hypothesis import strategies as st
from onnx import AttributeProto, GraphProto, NodeProto, TypeProto, helper

from onnxforge.ir import operators
from onnxforge.pattern import Alternatives, Call, Operand, Output, Pattern, Variable
from onnxforge.shapes import infer_node
from onnxforge.storage import to_array
from onnxforge.testing.operators import RULES
from onnxforge.testing.operators.rules import (
    BINARY,
    COMPARISONS,
    FLOAT,
    FLOAT16,
    FLOATS,
    INT64,
    REDUCTIONS,
    UNARY,
)
from onnxforge.testing.sketch import Sketch, Tensor

_FLAWS = ("number", "attributes", "order", "operand", "operator")
"""What can be otherwise than the pattern has it, at one node."""
_KIN = ([*UNARY], BINARY, COMPARISONS, REDUCTIONS)
"""Operators that can stand in for each other."""
_ATTEMPTS = 4
"""How often a node is drawn until one is valid, and how often a whole occurrence is."""
_KINDS = (
    *[(FLOAT, ("N", 4))] * 2,
    *[(FLOAT, ("N", 4, 4, 4))] * 2,
    (FLOAT, (1, 2, 5, 5)),
    (FLOAT, (2, 4, 4)),
    (FLOAT16, ("N", 4, 4, 4)),
    (INT64, (3,)),
    (FLOAT, ()),
)
"""Inputs to begin with; where sizes are the same, whatever is added, joined or multiplied fits."""
_SIZES = (7, 11)
"""Sizes the dynamic dimension is tried with: what is valid for both is valid for others."""


def draw_occurrence(sketch: Sketch, pattern: Pattern) -> list[Tensor]:
    """Add nodes that *pattern* matches, and return the values that it returns.

    In one of three occurrences a node is otherwise than the pattern has it, or values inside can be
    read by what is drawn later.  Nothing is added where no nodes could be drawn that fit together.
    """
    for _ in range(_ATTEMPTS):
        draft = sketch.draft(sketch.tensors)
        occurrence = _Occurrence(draft, pattern)
        if occurrence.is_complete():
            results = occurrence.results()
            is_exposed = sketch.draw(st.sampled_from([False] * 5 + [True]))
            sketch.adopt(draft, draft.tensors[len(sketch.tensors) :] if is_exposed else results)
            return results
    return []


class _Occurrence:
    """An occurrence under construction: what the operands of the pattern stand for."""

    def __init__(self, sketch: Sketch, pattern: Pattern) -> None:
        self.sketch = sketch
        self.pattern = pattern
        self.spellings: dict[Alternatives, Operand] = {}
        self.bound: dict[Variable | tuple[Call, int], Tensor | None] = {}
        self.nodes: dict[str, NodeProto] = {}
        self.outside = list(sketch.tensors)
        self.calls = self._needed()
        self.flaw = sketch.draw(st.sampled_from(_FLAWS)) if self._rarely() else ""
        self.flawed = sketch.draw(st.sampled_from(self.calls)) if self.flaw else None
        # Nodes that read nothing of each other still have to fit together.
        kind = sketch.draw(st.sampled_from([None, None, *_KINDS]))
        self.like = sketch.pick(None) if kind is None else sketch.declare(*kind)

    def is_complete(self) -> bool:
        """Add the nodes, as far as valid ones can be drawn; whether all could."""
        return all(map(self._draw_call, self.calls))

    def results(self) -> list[Tensor]:
        """What stands for the values that the pattern returns."""
        found = [self._given(output) for output in self.pattern.outputs]
        return list(dict.fromkeys(tensor for tensor in found if tensor is not None))

    def _rarely(self) -> bool:
        return bool(self.sketch.draw(st.integers(0, 5)) == 5)

    def _needed(self) -> list[Call]:
        """The calls of one of the pattern's spellings, in order."""
        needed: dict[Call, None] = {}
        stack: list[Operand] = list(self.pattern.outputs)
        while stack:
            operand = self._spelling(stack.pop())
            if isinstance(operand, Output) and operand.call not in needed:
                needed[operand.call] = None
                stack.extend(operand.call.inputs)
        return [call for call in self.pattern.calls if call in needed]

    def _spelling(self, operand: Operand) -> Operand:
        """One of the alternatives, and always that one."""
        while isinstance(operand, Alternatives):
            if operand not in self.spellings:
                self.spellings[operand] = self.sketch.draw(st.sampled_from(operand.options))
            operand = self.spellings[operand]
        return operand

    def _given(self, operand: Operand) -> Tensor | None:
        """What an operand stands for, if that is settled."""
        operand = self._spelling(operand)
        if isinstance(operand, Output):
            return self.bound.get((operand.call, operand.index))
        return self.bound.get(operand) if isinstance(operand, Variable) else None

    def _draw_call(self, call: Call) -> bool:
        """Add a node for *call*, if a valid one can be drawn."""
        before = dict(self.bound)
        for _ in range(_ATTEMPTS):
            draft = self.sketch.draft(self._pool(call))
            node = self._node(draft, call)
            if node is not None and (outputs := self._outputs(draft, node)):
                draft.graph.node.append(node)
                self.sketch.adopt(draft, outputs)
                self.bound |= {(call, index): each for index, each in enumerate(outputs)}
                self.nodes.setdefault(call.op_type, node)
                return True
            self.bound = dict(before)
        return False

    def _pool(self, call: Call) -> list[Tensor]:
        """What the rule may read: what the call reads; if that is not settled, what is alike."""
        given = [tensor for each in call.inputs if (tensor := self._given(each)) is not None]
        kind = (self.like.dtype, self.like.rank) if self.like is not None else None
        return given or [each for each in self.sketch.tensors if (each.dtype, each.rank) == kind]

    def _node(self, draft: Sketch, call: Call) -> NodeProto | None:
        """A node as its rule draws it, with what the pattern asks for instead, but for the flaw."""
        flaw = self.flaw if call is self.flawed else ""
        node = _drawn(draft, call)
        if node is None:
            return None
        alike = self.nodes.get(call.op_type)
        if alike is not None and not self._rarely():
            # The reductions of a normalization, say, are over the same axes.
            _set_attributes(node, alike.attribute)
        else:
            alike = None
        if flaw != "attributes":
            asked = [
                operators.make_attribute(key, value, call.op_type, call.domain, draft.opset)
                for key, value in call.attributes.items()
            ]
            others = [each for each in node.attribute if each.name not in call.attributes]
            _set_attributes(node, [*others, *asked])
        inputs = self._inputs(draft, call, flaw, node, alike)
        if flaw == "order":
            inputs.reverse()
        if flaw == "operator":
            kin = next((each for each in _KIN if node.op_type in each), [node.op_type])
            node.op_type = draft.draw(st.sampled_from(kin))
        while inputs and inputs[-1] is None:
            inputs.pop()
        node.input[:] = ["" if each is None else each.name for each in inputs]
        return None if _may_end_the_process(draft, node) else node

    def _inputs(
        self, draft: Sketch, call: Call, flaw: str, node: NodeProto, alike: NodeProto | None
    ) -> list[Tensor | None]:
        """What *node* is to read, where its rule has drawn what it reads now."""
        given = [self._given(operand) for operand in call.inputs]
        drawn = _padded(draft, node, len(given))
        if len(given) == 2 and given[0] is None and given[1] is not None:
            drawn.reverse()  # a rule draws its first input from the pool
        before = _padded(draft, alike, len(given)) if alike is not None else drawn
        lead = next((tensor for tensor in given if tensor is not None), drawn[0])
        inputs: list[Tensor | None] = []
        for index, operand in enumerate(map(self._spelling, call.inputs)):
            tensor = self._given(operand)
            if isinstance(operand, int | float):
                number = 1.25 * operand + 1 if flaw == "number" else operand
                tensor = draft.number(number, like=drawn[index] or lead)
            elif isinstance(operand, Variable) and operand not in self.bound:
                tensor = before[index] if index else drawn[index]
                if not operand.optional:
                    tensor = tensor or drawn[index] or lead
                self.bound[operand] = tensor = self._variable(draft, operand, tensor)
            elif flaw == "operand" and tensor is not None:
                tensor = self._other(tensor) or tensor
            inputs.append(tensor)
        return inputs

    def _variable(self, draft: Sketch, variable: Variable, drawn: Tensor | None) -> Tensor | None:
        """What a variable is to stand for, where its rule has *drawn* something."""
        if drawn is None or (variable.optional and self._rarely()):
            return None
        is_constant = drawn.name in draft.arrays
        if variable.constant:
            return drawn if is_constant else draft.constant(drawn.dtype, ())
        if drawn in self.outside:
            return drawn
        # What a rule draws as a constant, such as weights, a pattern may take from anywhere; but a
        # value inside, read once more, would soon be subtracted from itself.
        kind = draft.draw(st.sampled_from(["constant", "input", "value"]))
        if kind == "input" and set(drawn.shape) <= {"N", *range(99)}:
            return draft.declare(drawn.dtype, drawn.shape)
        other = self._other(drawn) if kind == "value" else None
        return other or (drawn if is_constant else draft.constant(drawn.dtype, ()))

    def _other(self, tensor: Tensor) -> Tensor | None:
        """A value from outside with the type and the rank of *tensor*."""
        return self.sketch.pick(
            (tensor.dtype,), ranks=(tensor.rank,), like=lambda each: each in self.outside
        )

    def _outputs(self, draft: Sketch, node: NodeProto) -> list[Tensor]:
        """What *node* computes; nothing unless it is valid whatever the dynamic size."""
        cases = [_inferred(draft, node, index) for index in range(len(_SIZES))]
        outputs = []
        for name in node.output:
            shapes = [_static_shape(case.get(name)) for case in cases]
            if None in shapes:
                return []
            sizes = tuple(starmap(_size, zip(*shapes, strict=True)))
            outputs.append(Tensor(name, cases[0][name].tensor_type.elem_type, sizes))
        return outputs


def _drawn(draft: Sketch, call: Call) -> NodeProto | None:
    """A node of the operator of *call*, drawn by its rule; *draft* has the constants it reads."""
    if call.op_type in RULES and not call.domain:
        made = RULES[call.op_type](draft)
    else:
        inputs = [draft.pick(FLOATS) for _ in call.inputs]
        made = draft.add(call.op_type, inputs, FLOAT, (), domain=call.domain)
    if made is None:
        return None
    node = NodeProto()
    node.CopyFrom(next(each for each in draft.graph.node if made.name in each.output))
    constants = [each for each in draft.graph.node if each.op_type == "Constant"]
    draft.graph = GraphProto(initializer=draft.graph.initializer, node=constants)
    while len(node.output) < call.outputs:
        node.output.append(draft.name("v"))
    return node


def _may_end_the_process(draft: Sketch, node: NodeProto) -> bool:
    """Whether ONNX Runtime may die of a node.

    It does of the lowest whole number divided by -1, and of an Einsum that sums up nothing.
    """
    if node.op_type == "Einsum":
        return any(0 in draft.known[name].shape for name in node.input)
    if node.op_type not in ("Div", "Mod") or draft.known[node.input[0]].dtype in FLOATS:
        return False
    divisor = draft.arrays.get(node.input[1])
    return divisor is None or bool((to_array(divisor) < 1).any())


def _padded(draft: Sketch, node: NodeProto, length: int) -> list[Tensor | None]:
    """What a node reads, and as many times None as there is less than *length* of it."""
    known = [draft.known.get(name) for name in node.input]
    return [*known, *[None] * (length - len(known))]


def _set_attributes(node: NodeProto, attributes: Iterable[AttributeProto]) -> None:
    kept = list(attributes)
    del node.attribute[:]
    node.attribute.extend(kept)


def _inferred(draft: Sketch, node: NodeProto, case: int) -> Mapping[str, TypeProto]:
    """The types of what *node* computes, if the dynamic dimension has one of `_SIZES`."""
    types = {}
    for name in filter(None, node.input):
        sizes = [_cases(size)[case] for size in draft.known[name].shape]
        types[name] = helper.make_tensor_type_proto(draft.known[name].dtype, sizes)
    opsets = {"": draft.opset, **({node.domain: 1} if node.domain else {})}
    return infer_node(node, types, draft.arrays, opsets, ir_version=10)


def _static_shape(type: TypeProto | None) -> list[int] | None:
    if type is None or not type.tensor_type.HasField("shape"):
        return None
    dims = type.tensor_type.shape.dim
    return [d.dim_value for d in dims] if all(d.HasField("dim_value") for d in dims) else None


def _size(*cases: int) -> Any:
    """A size from what it is in each of the cases: a number, "N", or a text for `_cases`."""
    if len(set(cases)) == 1:
        return cases[0]
    return "N" if cases == _SIZES else " or ".join(map(str, cases))


def _cases(size: Any) -> tuple[int, ...]:
    if isinstance(size, int):
        return (size,) * len(_SIZES)
    return _SIZES if size == "N" else tuple(map(int, size.split(" or ")))
