"""Execution providers: what to call them, what to ask of them, and whether they are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from onnxforge.errors import BenchmarkError, ProviderMissingError

CPU = "CPUExecutionProvider"


@dataclass(frozen=True, slots=True)
class Provider:
    """One execution provider of ONNX Runtime.

    `builds` says where one gets an ONNX Runtime that has it.  `has_own_threads` is set where the
    provider computes in a pool of its own, which takes the number of threads as its option while
    ONNX Runtime's pool is kept at one, so that the two do not compete.
    """

    name: str
    builds: str
    options: Mapping[str, str] = field(default_factory=dict)
    has_own_threads: bool = False


PROVIDERS: Mapping[str, Provider] = {
    "cpu": Provider(CPU, "every build"),
    "xnnpack": Provider(
        "XnnpackExecutionProvider",
        "Debian's python3-onnxruntime, the Android and iOS packages, or a build with --use_xnnpack",
        has_own_threads=True,
    ),
    "acl": Provider("ACLExecutionProvider", "a build with --use_acl, with Arm Compute Library"),
    "armnn": Provider("ArmNNExecutionProvider", "a build with --use_armnn, in older versions"),
    "nnapi": Provider("NnapiExecutionProvider", "the Android package, or a build with --use_nnapi"),
    "qnn": Provider(
        "QNNExecutionProvider",
        "`pip install onnxruntime-qnn`, on Snapdragon",
        {"backend_path": "libQnnHtp.so"},
    ),
    "coreml": Provider(
        "CoreMLExecutionProvider", "the wheel for macOS", {"ModelFormat": "MLProgram"}
    ),
    "dnnl": Provider(
        "DnnlExecutionProvider", "Debian's python3-onnxruntime, or a build with --use_dnnl"
    ),
    "openvino": Provider(
        "OpenVINOExecutionProvider", "`pip install onnxruntime-openvino`", {"device_type": "CPU"}
    ),
    "cuda": Provider("CUDAExecutionProvider", "`pip install onnxruntime-gpu`"),
}
"""By the name that the command line takes; options as ONNX Runtime documents them."""

VARIANTS: Mapping[str, Mapping[str, str]] = {
    "bf16": {"mlas.enable_gemm_fastmath_arm64_bfloat16": "1"},
    "no-kleidiai": {"mlas.disable_kleidiai": "1"},
    "no-nchwc": {"optimization.disable_specified_optimizers": "NchwcTransformer"},
    "no-spin": {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"},
    "no-prepack": {"session.disable_prepacking": "1"},
    "no-fallback": {"session.disable_cpu_ep_fallback": "1"},
}
"""Session options that matter on Arm, by the name that follows a provider: `cpu+bf16`.

ONNX Runtime takes any key and heeds those its build knows: `bf16` and `no-kleidiai` change nothing
where there are no such kernels, which the ratio to the plain provider then says.
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """A provider with variants, as `xnnpack+no-spin` names it."""

    label: str
    provider: Provider
    entries: Mapping[str, str]
    """Session configuration entries."""

    def chain(self, threads: int) -> list[tuple[str, dict[str, str]]]:
        """The providers to give to a session, with their options; CPU takes what is left over."""
        own = dict(self.provider.options)
        if self.provider.has_own_threads:
            own["intra_op_num_threads"] = str(threads)
        chain = [(self.provider.name, own)]
        if self.provider.name != CPU and not self.forbids_fallback:
            chain.append((CPU, {}))
        return chain

    @property
    def forbids_fallback(self) -> bool:
        """Whether it is an error if the CPU is to run some node that the provider does not take."""
        return self.entries.get("session.disable_cpu_ep_fallback") == "1"


def parse(label: str) -> Choice:
    """The provider and variants of `provider+variant+...`.

    Raises `BenchmarkError` if there is none of that name.
    """
    name, *variants = label.split("+")
    if name not in PROVIDERS:
        raise BenchmarkError(f"no provider called {name!r}; there are {', '.join(PROVIDERS)}")
    entries: dict[str, str] = {}
    for variant in variants:
        if variant not in VARIANTS:
            raise BenchmarkError(f"no variant called {variant!r}; there are {', '.join(VARIANTS)}")
        entries |= VARIANTS[variant]
    if name == "cpu":
        entries.pop("session.disable_cpu_ep_fallback", None)  # which would refuse the CPU itself
    return Choice(label, PROVIDERS[name], entries)


def expect(choice: Choice, available: Sequence[str], version: str) -> None:
    """Raise `ProviderMissingError` if the installed ONNX Runtime has not got the provider.

    ONNX Runtime itself warns and takes the CPU, and the figures would be the CPU's.
    """
    if choice.provider.name not in available:
        raise ProviderMissingError(
            f"{choice.label}: this ONNX Runtime ({version}) has no {choice.provider.name}, "
            f"only {', '.join(available)}; it comes with {choice.provider.builds}"
        )
