from __future__ import annotations

from collections.abc import Iterable

from onnx import GraphProto, helper

from onnxforge import Graph, Node, Pass, Value

from .substitution import Substitution


class BodyTrimming(Pass):
    """Leave out what an If or a Loop returns, or a Loop carries from one turn to the next, in vain.

    That is outputs that nobody reads, values that are carried only to make themselves anew, and
    values that every turn hands on as they are: these the body reads from outside.
    """

    operators = ("If", "Loop")

    def run(self, graph: Graph) -> int:
        """Trim them; return how many nodes had such."""
        nodes = [node for node in graph.calls(*self.operators) if not node.domain]
        return sum((_loop if node.op_type == "Loop" else _if)(graph, node) for node in nodes)


def _if(graph: Graph, node: Node) -> bool:
    """Leave out the outputs of an If that nobody reads."""
    used = [index for index, value in enumerate(node.outputs) if value.is_used]
    names = [each.name for each in node.proto.attribute if each.HasField("g")]
    if not used or len(used) == len(node.outputs) or len(names) != 2 or node.has_references:
        return False
    bodies = {
        name: _copy(body, outputs=used) for name, body in zip(names, node.subgraphs, strict=True)
    }
    substitution = Substitution(graph, node)
    made = graph.add_node("If", node.inputs, outputs=len(used), before=node, like=node, **bodies)
    results = dict(zip(used, made.outputs, strict=True))
    return substitution.finish([results.get(index) for index in range(len(node.outputs))])


def _loop(graph: Graph, node: Node) -> bool:
    """Leave out what a Loop carries or collects in vain."""
    if len(node.subgraphs) != 1 or len(node.inputs) < 2 or node.has_references:
        return False
    (body,) = node.subgraphs
    states = len(node.inputs) - 2
    inputs, outputs = body.inputs, body.outputs
    if len(inputs) != states + 2 or len(outputs) != len(node.outputs) + 1:
        return False
    same = [index for index in range(states) if _hands_on(body, index, node)]
    alive = _alive(body, node, states)
    kept = [i for i in range(states) if i in alive and i not in same]
    scans = [i for i in range(states, len(node.outputs)) if node.outputs[i].is_used]
    if len(kept) + len(scans) == len(node.outputs) or not kept + scans:
        return False
    new = _copy(body, [0, 1, *(i + 2 for i in kept)], [0, *(i + 1 for i in (*kept, *scans))])
    given = {inputs[i + 2].name: node.inputs[i + 2] for i in same}
    for name, value in given.items():
        assert value is not None
        new.node.insert(0, helper.make_node("Identity", [value.name], [name]))
    substitution = Substitution(graph, node)
    initial = [*node.inputs[:2], *(node.inputs[i + 2] for i in kept)]
    made = graph.add_node(
        "Loop", initial, outputs=len(kept) + len(scans), before=node, like=node, body=new
    )
    results: dict[int, Value | None] = {i: node.inputs[i + 2] for i in same}
    results |= dict(zip((*kept, *scans), made.outputs, strict=True))
    return substitution.finish([results.get(index) for index in range(len(node.outputs))])


def _hands_on(body: Graph, index: int, node: Node) -> bool:
    """Whether every turn hands on the state of this index as it gets it."""
    given, returned = body.inputs[index + 2], body.outputs[index + 1]
    maker = returned.producer
    is_copy = maker is not None and (maker.op_type, maker.domain) == ("Identity", "")
    source = node.inputs[index + 2]
    if source is None or source.name in body.values:
        return False  # where the body hides the name, it cannot read the value
    return returned is given or (is_copy and maker is not None and maker.inputs[0] is given)


def _alive(body: Graph, node: Node, states: int) -> dict[int, None]:
    """The states that matter: to the condition, to what is read of the loop, or to one of these."""
    position = {value: index - 2 for index, value in enumerate(body.inputs)}
    alive = {i: None for i in range(states) if node.outputs[i].is_used}
    read = [i for i in range(states, len(node.outputs)) if node.outputs[i].is_used]
    pending = [body.outputs[0], *(body.outputs[i + 1] for i in (*alive, *read))]
    # What has effects runs for them.
    effects = [each for each in body if each.operator.effects]
    pending += [value for each in effects for value in _reads(each)]
    seen = dict.fromkeys(pending)
    for value in pending:
        found = list(_reads(value.producer)) if value.producer is not None else []
        state = position.get(value, -1)
        if state >= 0 and state not in alive:
            alive[state] = None
            found.append(body.outputs[state + 1])
        pending += [each for each in found if each not in seen]
        seen.update(dict.fromkeys(found))
    return alive


def _reads(node: Node) -> Iterable[Value]:
    inner = (value for body in node.subgraphs for value in body.captured())
    return (value for value in (*node.inputs, *inner) if value is not None)


def _copy(
    body: Graph, inputs: list[int] | None = None, outputs: list[int] | None = None
) -> GraphProto:
    """The body with these of its inputs and outputs, and the nodes that they need."""
    for each in body.nested():
        each.settle()
    copy = GraphProto()
    assert isinstance(body.proto, GraphProto)
    copy.CopyFrom(body.proto)
    for kept, infos in ((inputs, copy.input), (outputs, copy.output)):
        if kept is not None:
            chosen = [infos[index] for index in kept]
            del infos[:]
            infos.extend(chosen)
    returned = body.outputs if outputs is None else [body.outputs[index] for index in outputs]
    needed = _makers(body, returned)
    for index, node in reversed(list(enumerate(body))):
        if node not in needed:
            del copy.node[index]
    return copy


def _makers(body: Graph, values: Iterable[Value]) -> dict[Node, None]:
    """The nodes that make *values*, or have effects, and those that they need."""
    makers = {node: None for node in body if node.operator.effects}
    makers |= {value.producer: None for value in values if value.producer is not None}
    pending = list(makers)
    for node in pending:
        found = (value.producer for value in _reads(node))
        new = [each for each in dict.fromkeys(found) if each is not None and each not in makers]
        makers.update(dict.fromkeys(new))
        pending += new
    return makers
