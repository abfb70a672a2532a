from __future__ import annotations

import pytest

from onnxforge.bench import providers
from onnxforge.bench.providers import CPU, PROVIDERS, parse
from onnxforge.errors import BenchmarkError, ProviderMissingError


def test_the_cpu_is_alone():
    assert parse("cpu").chain(4) == [(CPU, {})]


def test_what_a_provider_leaves_the_cpu_takes():
    assert [name for name, _ in parse("nnapi").chain(1)] == ["NnapiExecutionProvider", CPU]


def test_a_provider_with_threads_of_its_own_is_told_how_many():
    (name, options), _ = parse("xnnpack").chain(4)
    assert name == "XnnpackExecutionProvider"
    assert options == {"intra_op_num_threads": "4"}


def test_without_fallback_the_cpu_takes_nothing():
    choice = parse("xnnpack+no-fallback")
    assert [name for name, _ in choice.chain(1)] == ["XnnpackExecutionProvider"]
    assert choice.entries["session.disable_cpu_ep_fallback"] == "1"


def test_variants_are_session_options():
    assert parse("cpu+bf16+no-spin").entries == {
        "mlas.enable_gemm_fastmath_arm64_bfloat16": "1",
        "session.intra_op.allow_spinning": "0",
        "session.inter_op.allow_spinning": "0",
    }


@pytest.mark.parametrize("label", ["gpu", "cpu+fast", "cpu+"])
def test_an_unknown_name_is_an_error_that_lists_the_known(label):
    with pytest.raises(BenchmarkError, match=r"there are (cpu|bf16), "):
        parse(label)


@pytest.mark.parametrize("name", [name for name in PROVIDERS if name != "cpu"])
def test_a_missing_provider_is_said_to_be_missing_and_where_to_get_it(name):
    with pytest.raises(ProviderMissingError) as caught:
        providers.expect(parse(name), [CPU], "1.0")
    assert PROVIDERS[name].name in str(caught.value)
    assert PROVIDERS[name].builds in str(caught.value)


def test_every_provider_onnx_runtime_knows_by_our_name_is_spelled_as_it_does():
    import onnxruntime

    known = onnxruntime.get_all_providers()
    # Taken out of ONNX Runtime, the second by 1.32; older versions have them.
    gone = {"ArmNNExecutionProvider", "ACLExecutionProvider"}
    assert {p.name for p in PROVIDERS.values()} - gone <= set(known)
