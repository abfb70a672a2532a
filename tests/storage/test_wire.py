from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.backend.test
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, TensorProto, helper
from onnx.numpy_helper import from_array
from protos import everywhere, field, model, tensor

from onnxforge.errors import InvalidModelError
from onnxforge.storage import wire
from onnxforge.storage.span import Span, is_parked, location_of
from onnxforge.storage.wire import DEPTH, splice, split

LOCATION = "/nowhere/location.onnx"
BACKEND = sorted(Path(onnx.backend.test.__file__).parent.joinpath("data").rglob("*.onnx"))


def span_in(parked: TensorProto) -> Span | None:
    """Where a tensor is parked, without the file that `Span.of` would look at."""
    entries = {entry.key: entry.value for entry in parked.external_data}
    if not is_parked(parked):
        return None
    return Span(entries["location"], int(entries["offset"]), int(entries["length"]))


def spliced(skeleton: bytes, file: bytes) -> bytes:
    return b"".join(
        file[piece.offset : piece.offset + piece.length] if isinstance(piece, Span) else piece
        for piece in splice(skeleton, span_in)
    )


def there_and_back(data: bytes, threshold: int) -> bytes:
    skeleton = ModelProto.FromString(split(data, LOCATION, threshold))
    return spliced(skeleton.SerializeToString(), data)


@pytest.mark.parametrize("threshold", [1, 8, 1024])
def test_every_backend_model_comes_back_byte_for_byte(threshold: int) -> None:
    assert len(BACKEND) > 100
    for path in BACKEND:
        data = path.read_bytes()
        assert there_and_back(data, threshold) == data, path.name


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # ONNX's own, on computing expectations
def test_every_node_test_of_onnx_comes_back_byte_for_byte() -> None:
    from onnx.backend.test.case.node import collect_testcases

    cases = [case.model for case in collect_testcases(None) if case.model is not None]
    assert len(cases) > 1000
    for case in cases:
        data = case.SerializeToString()
        assert there_and_back(data, 1) == data, case.graph.name


def test_payloads_leave_from_every_place_a_tensor_can_be_in() -> None:
    data = everywhere().SerializeToString()
    skeleton = ModelProto.FromString(split(data, LOCATION, 40))
    text = str(skeleton)
    assert "raw_data" not in text
    assert text.count("data_location: EXTERNAL") == str(everywhere()).count("raw_data")
    assert spliced(skeleton.SerializeToString(), data) == data


def test_payloads_below_the_threshold_stay() -> None:
    data = model(tensor("small", 99), tensor("large", 100)).SerializeToString()
    small, large = ModelProto.FromString(split(data, LOCATION, 100)).graph.initializer
    assert len(small.raw_data) == 99
    assert location_of(large) == LOCATION
    assert not large.HasField("raw_data")


def test_a_parked_tensor_says_where_its_bytes_are() -> None:
    data = model(tensor("w", 2000)).SerializeToString()
    (parked,) = ModelProto.FromString(split(data, LOCATION)).graph.initializer
    span = span_in(parked)
    assert span is not None
    assert data[span.offset : span.offset + span.length] == tensor("w", 2000).raw_data


def test_an_explicit_default_location_comes_back() -> None:
    explicit = tensor("w", 50, data_location=TensorProto.DEFAULT, metadata_props=[{"key": "k"}])
    data = model(explicit).SerializeToString()
    assert there_and_back(data, 8) == data


def test_external_data_of_the_model_s_own_is_left_alone() -> None:
    own = tensor("w", 50)
    own.external_data.add(key="location", value="w.bin")
    data = model(own, tensor("v", 60)).SerializeToString()
    assert ModelProto.FromString(split(data, LOCATION, 8)).graph.initializer[0] == own
    own.ClearField("raw_data")
    own.data_location = TensorProto.EXTERNAL
    data = model(own, tensor("v", 60)).SerializeToString()
    assert there_and_back(data, 8) == data


GROUP = bytes([99 << 3 & 127 | 3 | 128, 99 >> 4]) + field(9, b"x" * 50) + bytes(
    [99 << 3 & 127 | 4 | 128, 99 >> 4]
)  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        field(9, b"a" * 50) + field(9, b"b" * 60),
        field(9, b"a" * 50) + field(13, b""),
        GROUP,
    ],
    ids=["two payloads", "payload and place", "an unknown group that holds a payload"],
)
def test_a_tensor_of_two_minds_is_left_as_it_is(content: bytes) -> None:
    data = field(7, field(5, content))
    assert split(data, LOCATION, 8) == data


def test_a_tensor_in_two_parts_is_left_as_it_is() -> None:
    attribute = field(5, field(9, b"a" * 50)) + field(5, field(9, b"b" * 50))
    data = field(7, field(1, field(5, attribute)))
    assert split(data, LOCATION, 8) == data
    sparse = field(1, field(9, b"a" * 50)) + field(1, field(8, b"name"))
    data = field(7, field(15, sparse))
    assert split(data, LOCATION, 8) == data


def test_a_group_beside_a_payload_passes_through() -> None:
    data = field(7, field(5, field(9, b"a" * 50) + GROUP))
    skeleton = ModelProto.FromString(split(data, LOCATION, 8))
    assert ModelProto.FromString(spliced(skeleton.SerializeToString(), data)) == (
        ModelProto.FromString(data)
    )


# Fields in any order, repeated, unknown, nested: what a parser makes of them must not change.
unknown = st.binary(max_size=40).map(lambda content: field(40, content))
raw_data = st.binary(min_size=0, max_size=60).map(lambda content: field(9, content))
name = st.sampled_from([b"", b"w", b"location", b"a longer name"]).map(lambda n: field(8, n))
place = st.sampled_from([b"\x70\x00", field(4, b"\0" * 8), b"\x08\x05", b"\x10\x01", GROUP])


def shuffled(*parts: st.SearchStrategy[bytes], max_size: int = 5) -> st.SearchStrategy[bytes]:
    return st.lists(st.one_of(*parts), max_size=max_size).map(b"".join)


tensors = shuffled(raw_data, name, place, unknown)
graphs = st.recursive(
    shuffled(tensors.map(lambda t: field(5, t)), unknown, st.just(field(2, b"g"))),
    lambda inner: shuffled(
        tensors.map(lambda t: field(5, t)),
        shuffled(
            tensors.map(lambda t: field(5, t)),
            tensors.map(lambda t: field(10, t)),
            inner.map(lambda g: field(6, g)),
            inner.map(lambda g: field(11, g)),
            unknown,
        ).map(lambda attribute: field(1, field(4, b"Op") + field(5, attribute))),
        shuffled(tensors.map(lambda t: field(1, t)), tensors.map(lambda t: field(2, t))).map(
            lambda sparse: field(15, sparse)
        ),
    ),
    max_leaves=6,
)
models = st.tuples(
    graphs.map(lambda g: field(7, g)),
    shuffled(
        graphs.map(lambda g: field(7, g)),
        graphs.map(lambda g: field(20, field(1, g))),
        unknown,
        st.just(b"\x08\x0a"),
    ),
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(models, st.integers(1, 30))
def test_the_model_is_the_same_whatever_order_its_fields_come_in(
    data: bytes, threshold: int
) -> None:
    assert ModelProto.FromString(there_and_back(data, threshold)) == ModelProto.FromString(data)


@settings(max_examples=300, deadline=None)
@given(models, st.integers(1, 30), st.data())
def test_damage_is_an_error_or_a_parse_and_nothing_else(
    data: bytes, threshold: int, draw: st.DataObject
) -> None:
    damaged = bytearray(data)
    for at in draw.draw(st.lists(st.integers(0, len(data) - 1), max_size=4)):
        damaged[at] = draw.draw(st.integers(0, 255))
    try:
        skeleton = split(bytes(damaged), LOCATION, threshold)
        splice(skeleton, span_in)
    except InvalidModelError:
        return
    try:
        whole = ModelProto.FromString(bytes(damaged))
    except DecodeError:
        return
    back = spliced(ModelProto.FromString(skeleton).SerializeToString(), bytes(damaged))
    assert ModelProto.FromString(back) == whole


def test_a_file_cut_short_is_an_error_that_says_where() -> None:
    whole = field(7, everywhere().graph.SerializeToString())
    for end in range(4, len(whole)):
        with pytest.raises(InvalidModelError, match="the field at offset"):
            split(whole[:end], LOCATION, 8)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff" * 100, b"not a model at all", bytes(100), field(7, b"\x2a\xff\xff\xff\xff\x7f")],
)
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidModelError, match="not an ONNX model"):
        split(data, LOCATION, 1)


def test_nesting_without_end_is_refused() -> None:
    graph = GraphProto(name="innermost").SerializeToString()
    for _ in range(DEPTH):
        graph = field(1, field(5, field(6, graph)))
    with pytest.raises(InvalidModelError, match="within one another"):
        split(field(7, graph), LOCATION, 1)
    # Skipped as long as there is no payload in it, as protobuf will refuse it anyway.
    assert splice(field(7, graph)) == [field(7, graph)]


def test_without_large_payloads_nothing_changes() -> None:
    data = model(tensor("w", 1000)).SerializeToString()
    assert split(data, LOCATION) == data
    assert splice(data) == [data]


def test_the_numbers_of_an_attribute_are_passed_over_in_rows():
    node = helper.make_node("Trees", ["x"], ["y"], domain="ai.onnx.ml")
    node.attribute.append(helper.make_attribute("ints", [-1, 0, 300] * 1000))
    node.attribute.append(helper.make_attribute("floats", [0.0, -1.5] * 1000))
    node.attribute.append(helper.make_attribute("t", from_array(np.zeros(1000, np.float32))))
    proto = ModelProto(graph=GraphProto(node=[node]))
    data = proto.SerializeToString()
    fields = 0

    def counted(*given):
        nonlocal fields
        for each in wire_fields(*given):
            fields += 1
            yield each

    wire_fields = wire._fields
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "_fields", counted)
        skeleton = wire.split(data, "/data")
    assert fields < 100
    assert len(data) - len(skeleton) > 3000
    restored = ModelProto.FromString(skeleton).graph.node[0]
    assert list(restored.attribute[0].ints) == [-1, 0, 300] * 1000
    assert list(restored.attribute[1].floats) == [0.0, -1.5] * 1000
