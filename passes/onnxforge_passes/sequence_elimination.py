from __future__ import annotations

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value

from .integers import integers

# Longer ones are of a program that needs them, and not of an exporter that could do without.
_MAX_LENGTH = 256
_READERS = ("ConcatFromSequence", "SequenceAt", "SequenceLength")
_MAKERS = (
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceErase",
    "SequenceInsert",
    "SplitToSequence",
)


class SequenceElimination(Pass):
    """Read tensors themselves, and not by way of a sequence whose elements are known one by one.

    That is a sequence which SequenceConstruct, SequenceEmpty, SequenceInsert and SequenceErase make
    at positions that are known, or SplitToSequence does into pieces of known sizes, which a Split
    then makes.  Reading it is SequenceAt a known position, SequenceLength, or ConcatFromSequence.
    """

    operators = _READERS

    def run(self, graph: Graph) -> int:
        """Read past the sequences; return how many nodes read them."""
        sequences: dict[Value, list[Value]] = {}
        drawn: list[Builder] = []
        changes = 0
        for node in graph.calls(*_MAKERS, *_READERS):
            if node.domain or node.has_references:
                continue
            drawn.append(Builder(graph, before=node))
            elements = _elements(node, sequences, drawn[-1])
            if elements is not None and len(elements) <= _MAX_LENGTH:
                sequences[node.output] = elements
            elif node.op_type in _READERS and (read := node.input(0)) in sequences:
                assert read is not None
                changes += _read(node, sequences[read], drawn[-1])
        for op in drawn:
            op.undo()
        return changes


def _elements(node: Node, sequences: dict[Value, list[Value]], op: Builder) -> list[Value] | None:
    """The elements of the sequence that *node* makes, if it does and they are known."""
    match node.op_type:
        case "SequenceEmpty":
            return []
        case "SequenceConstruct":
            return [value for value in node.inputs if value is not None]
        case "SplitToSequence":
            return _split(node, op)
        case "SequenceInsert" | "SequenceErase":
            before = node.input(0)
            if before is None or before not in sequences:
                return None
            elements = list(sequences[before])
            inserted = node.input(1) if node.op_type == "SequenceInsert" else None
            given = node.input(2 if inserted is not None else 1)
            end = len(elements) - (inserted is None)
            position = end if given is None else _number(given)
            if position is None or not -len(elements) <= position <= end:
                return None
            if inserted is not None:
                # Counted from the end, it goes ahead of the element at that position.
                elements.insert(position, inserted)
            else:
                del elements[position]
            return elements
    return None


def _split(node: Node, op: Builder) -> list[Value] | None:
    """The pieces that a SplitToSequence makes, as a Split makes them."""
    data, split, sequence = node.input(0), node.input(1), node.output
    if data is None or data.rank is None or sequence.is_output:
        return None
    readers = sequence.consumers
    squeezes = split is None and not node.attribute("keepdims")
    if not readers or not all(
        reader.graph is node.graph and _is_apart(reader, squeezes=squeezes) for reader in readers
    ):
        return None
    axis = node.attribute("axis") % data.rank
    if split is not None and split.rank != 1 and not node.attribute("keepdims"):
        # Without the axis in ONNX Runtime, and with it as ONNX has it.
        return None
    lengths = _lengths(data, axis, split)
    if lengths is None or not 0 < len(lengths) <= _MAX_LENGTH:
        return None
    if node.version < 13:
        pieces = op.Split(data, axis=axis, split=lengths, outputs=len(lengths))
    else:
        pieces = op.Split(data, np.array(lengths, np.int64), axis=axis, outputs=len(lengths))
    found = list(pieces) if len(lengths) > 1 else [pieces]
    if not squeezes:
        return found
    if node.version < 13:
        return [op.Squeeze(piece, axes=[axis]) for piece in found]
    return [op.Squeeze(piece, np.array([axis])) for piece in found]


def _is_apart(reader: Node, *, squeezes: bool) -> bool:
    """Whether a node asks for elements of a sequence, and which is known.

    If each is to be squeezed, whoever asks for all of them asks for too many nodes.
    """
    if reader.op_type not in _READERS or reader.domain or reader.has_references:
        return False
    if reader.op_type == "SequenceAt":
        return _number(reader.input(1)) is not None
    if reader.op_type == "ConcatFromSequence":
        return not squeezes and not reader.attribute("new_axis")
    return True


def _lengths(data: Value, axis: int, split: Value | None) -> list[int] | None:
    size = data.shape[axis] if data.shape is not None else None
    given = split.contents if split is not None else None
    if split is not None and given is not None and given.rank == 1:
        return given.constants()
    length = 1 if split is None else _number(split)
    if not isinstance(size, int) or length is None or length < 1:
        return None
    if size > length * _MAX_LENGTH:
        return None
    return [min(length, size - start) for start in range(0, size, length)]


def _read(node: Node, elements: list[Value], op: Builder) -> bool:
    """Let what *node* reads of a sequence stand in place of what it returns."""
    new: Value | None = None
    if node.op_type == "SequenceLength":
        length = op.constant(np.int64(len(elements)))
        new = op.Identity(length) if node.output.is_output else length
    elif node.op_type == "SequenceAt":
        position = _number(node.input(1))
        if position is not None and -len(elements) <= position < len(elements):
            new = elements[position]
            if node.output.is_output:
                new = op.Identity(new)
    elif node.attribute("new_axis"):
        op.graph.decline("ConcatFromSequence: a new axis takes as many nodes as there are tensors")
    elif elements:
        new = op.Concat(*elements, axis=node.attribute("axis"))
    return new is not None and op.graph.replace(node.output, new)


def _number(value: Value | None) -> int | None:
    numbers = integers(value)
    return numbers[0] if numbers is not None and len(numbers) == 1 else None
