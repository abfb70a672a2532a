"""The APK's Arm64 `libonnxruntime.so` at work, under qemu.

It was made for Android's dynamic linker and C library.  Here glibc's linker loads it, and
`bionic/bridge.c`, with trampolines generated for what needs no bridge, stands for Android's libc.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lane.apk import ABI
from lane.toolchain import BUILD, ROOT, aar, need, run

HERE = Path(__file__).parent / "bionic"
SYSROOT = "/usr/aarch64-linux-gnu"
CPU = "cortex-a76"
"""The least that XNNPACK's kernels run on."""
CPUINFO = """\
processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc \
dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1
"""


@dataclass(frozen=True)
class Run:
    """What came of it: float32 [N, 10]; the version; the providers; nodes by who computed them."""

    probabilities: np.ndarray
    version: str
    providers: list[str]
    placement: Counter[str]


def prepare(apk: Path) -> Path:
    """A folder with the program, and around it what the library out of *apk* needs.

    Raises:
        MissingError: A piece cannot be had.

    """
    need("readelf", "aarch64-linux-gnu-gcc", f"{SYSROOT}/include/stdio.h", "qemu-aarch64")
    folder = BUILD / "arm64"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with zipfile.ZipFile(apk) as archive:
        library = archive.read(f"lib/{ABI}/libonnxruntime.so")
    (folder / "libonnxruntime.so").write_bytes(library)
    compiler = ("aarch64-linux-gnu-gcc", "-O2", "-w", "-fPIC", "-mno-outline-atomics")
    shared = (*compiler, "-shared", "-nostdlib")
    bridge = folder / "bridge.o"
    run(*compiler, "-fno-builtin", "-c", "-o", bridge, HERE / "bridge.c")
    names = needed(folder / "libonnxruntime.so")
    bridged = run("aarch64-linux-gnu-nm", "-g", "--defined-only", "--format=just-symbols", bridge)
    passed_on = sorted(set(names) - set(bridged.split()))
    (folder / "trampolines.S").write_text(trampolines(passed_on))
    (folder / "libc.map").write_text(f"LIBC {{ global: {'; '.join(names)}; local: *; }};\n")
    script = f"-Wl,--version-script={folder / 'libc.map'}"
    run(*shared, "-o", folder / "libc.so", bridge, folder / "trampolines.S", script)
    run(*shared, "-o", folder / "liblog.so", HERE / "log.c")
    for name in ("libm", "libdl", "libandroid"):  # libc.so has all of theirs
        (folder / "empty.c").write_text(f"int {name}_is_empty;\n")
        (folder / "empty.map").write_text(f"LIBC {{ global: {name}_is_empty; }};\n")
        script = f"-Wl,--version-script={folder / 'empty.map'}"
        run(*shared, "-o", folder / f"{name}.so", folder / "empty.c", script)
    run(
        "aarch64-linux-gnu-gcc", "-O2", "-w", "-rdynamic", "-o", folder / "run", HERE / "run.c",
        "-I", aar() / "headers", "-Wl,--no-as-needed", "-lm", "-ldl", "-lpthread",
    )  # fmt: skip
    machine(folder / "root")
    return folder


def machine(root: Path) -> None:
    """What the program is to see of the machine: one Cortex-A76, instead of what is really there.

    ONNX Runtime looks up the processor and its caches, and does not survive finding x86's.
    """
    (root / "proc").mkdir(parents=True)
    (root / "proc" / "cpuinfo").write_text(CPUINFO)
    cpus = root / "sys" / "devices" / "system" / "cpu"
    cpus.mkdir(parents=True)
    for name in ("possible", "present"):
        (cpus / name).write_text("0\n")
    (root / "lib").symlink_to(f"{SYSROOT}/lib")


def needed(library: Path) -> list[str]:
    """What *library* wants of Android's libc, libm and libdl."""
    symbols = run("readelf", "-W", "--dyn-syms", library)
    return sorted(set(re.findall(r" UND (\w+)@LIBC", symbols)))


def trampolines(names: list[str]) -> str:
    """Functions of these *names* that jump to where `slots` points, in Arm64 assembler."""
    code = [
        f".globl {n}\n.type {n},%function\n{n}: adrp x16, slot_{n}\n"
        f" ldr x16, [x16, :lo12:slot_{n}]\n br x16\n.size {n}, .-{n}"
        for n in names
    ]
    return "\n".join(
        [
            ".text",
            *code,
            ".data\n.balign 8\n.globl slots\n.hidden slots\nslots:",
            *(f"slot_{n}: .quad 0" for n in names),
            '.section .data.rel.ro,"aw"\n.balign 8',
            ".globl slot_names\n.hidden slot_names\nslot_names:",
            *(f" .quad name_{n}" for n in names),
            f".globl slot_count\n.hidden slot_count\nslot_count: .quad {len(names)}",
            ".section .rodata",
            *(f'name_{n}: .asciz "{n}"' for n in names),
            '.section .note.GNU-stack,"",%progbits\n',
        ]
    )


def infer(folder: Path, model: Path, images: np.ndarray, provider: str) -> Run:
    """Run *model* on *images*, float32 [N, 1, 28, 28], with "CPU", "XNNPACK" or "NNAPI" first."""
    source, answer = folder / "input.f32", folder / "output.f32"
    source.write_bytes(np.ascontiguousarray(images, np.float32).tobytes())
    printed = run(
        *emulator(), folder / "run", model.resolve(), provider, source, str(len(images)), answer,
        "1", folder / "profile",
    )  # fmt: skip
    versions, profile = printed.splitlines()
    version, *providers = versions.split()
    found = np.frombuffer(answer.read_bytes(), np.float32).reshape(-1, 10)
    return Run(found, version, providers, placement(Path(profile)))


def instructions(folder: Path, model: Path, images: np.ndarray, provider: str) -> int:
    """How many instructions one run takes, after another to warm up.

    They are work, not time: a real processor does several at once, and waits for memory.
    """
    need("gcc")
    plugin = folder / "libicount.so"
    if not plugin.exists():
        run("gcc", "-O2", "-shared", "-fPIC", "-o", plugin, ROOT / "lanes" / "arm64" / "icount.c")
    source, counts = folder / "input.f32", folder / "counts"
    source.write_bytes(np.ascontiguousarray(images, np.float32).tobytes())
    run(
        *emulator("-plugin", f"{plugin},out={counts}"), folder / "run", model.resolve(), provider,
        source, str(len(images)), folder / "output.f32", "3",
    )  # fmt: skip
    return int(counts.read_text().split()[-1])


def emulator(*options: str | Path) -> list[str | Path]:
    """The command that runs an Arm64 program of `prepare`'s."""
    folder = BUILD / "arm64"
    libraries = f"LD_LIBRARY_PATH={folder}"
    return ["qemu-aarch64", "-cpu", CPU, *options, "-L", folder / "root", "-E", libraries]


def placement(profile: Path) -> Counter[str]:
    """How many nodes each provider computed in a run, by the profile that ONNX Runtime wrote."""
    events = json.loads(profile.read_text())
    nodes = {
        (each["name"], each["args"]["provider"])
        for each in events
        if "provider" in each.get("args", {})
    }
    profile.unlink()
    return Counter(provider for _, provider in nodes)
