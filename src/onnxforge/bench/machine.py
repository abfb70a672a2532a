"""What machine this is: all that a figure depends on besides the model, read from where Linux says.

Elsewhere than on Linux less is known; what is unknown is empty, never guessed.
"""

from __future__ import annotations

import os
import platform
import re
from collections import Counter
from pathlib import Path
from typing import Any

# MIDR_EL1 as /proc/cpuinfo gives it: implementer, part.  From the Linux kernel's cputype.h.
_ARM_CORES = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd04"): "Cortex-A35",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0a"): "Cortex-A75",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd0d"): "Cortex-A77",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd41"): "Cortex-A78",
    ("0x41", "0xd44"): "Cortex-X1",
    ("0x41", "0xd46"): "Cortex-A510",
    ("0x41", "0xd47"): "Cortex-A710",
    ("0x41", "0xd48"): "Cortex-X2",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4d"): "Cortex-A715",
    ("0x41", "0xd4e"): "Cortex-X3",
    ("0x41", "0xd4f"): "Neoverse-V2",
    ("0x41", "0xd80"): "Cortex-A520",
    ("0x41", "0xd81"): "Cortex-A720",
    ("0x41", "0xd82"): "Cortex-X4",
    ("0x41", "0xd84"): "Neoverse-V3",
    ("0x41", "0xd8e"): "Neoverse-N3",
    ("0x46", "0x001"): "A64FX",
    ("0xc0", "0xac3"): "Ampere-1",
    ("0xc0", "0xac4"): "Ampere-1A",
}

# What kernels are chosen by, as ONNX Runtime's people call it, from the kernel's names of flags.
_FEATURES = {
    "asimd": ("asimd",),
    "fp16": ("fphp", "asimdhp"),
    "dotprod": ("asimddp",),
    "i8mm": ("i8mm",),
    "bf16": ("bf16",),
    "sve": ("sve",),
    "sve2": ("sve2",),
    "sme": ("sme",),
    "sme2": ("sme2",),
    "avx2": ("avx2",),
    "fma": ("fma",),
    "f16c": ("f16c",),
    "avx512": ("avx512f", "avx512bw", "avx512vl"),
    "avx512-vnni": ("avx512_vnni",),
    "avx512-bf16": ("avx512_bf16",),
    "avx-vnni": ("avx_vnni",),
    "amx-int8": ("amx_int8",),
    "amx-bf16": ("amx_bf16",),
}


def describe(root: Path = Path("/")) -> dict[str, Any]:
    """The machine as plain data, for results to carry; *root* is where /proc and /sys are.

    `name` is fit for a file name and names no particular machine, only its kind.  Sizes are bytes,
    frequencies MHz.
    """
    cpuinfo = _blocks(text(root / "proc/cpuinfo"))
    cores = [_core(block) for block in cpuinfo if "processor" in block] or [platform.processor()]
    flags = _flags(cpuinfo)
    memory = meminfo(root)
    product = _product(root)
    return {
        "name": _slug(product or cores[0] or platform.machine(), platform.machine(), len(cores)),
        "product": product,
        "architecture": platform.machine(),
        "cores": [{"name": name, "count": count} for name, count in Counter(cores).items()],
        "features": [name for name, need in _FEATURES.items() if flags.issuperset(need)],
        "caches": _caches(root),
        "frequencies": _frequencies(root),
        "memory": memory.get("MemTotal", 0),
        "swap": memory.get("SwapTotal", 0),
        "usable_cpus": _usable(),
        "cpu_quota": _quota(root),
        "system": _system(root),
        "kernel": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()).strip(),
        "python": platform.python_version(),
        **_runtime(),
    }


def text(path: Path) -> str:
    """What the file says, without the NUL and newline at its end; "" if it cannot be read."""
    try:
        return path.read_text("utf-8", "replace").strip("\0\n ")
    except OSError:
        return ""


def number(path: Path) -> int | None:
    """The integer that the file holds; None if it holds none."""
    found = text(path)
    return int(found) if re.fullmatch(r"-?\d+", found) else None


def meminfo(root: Path = Path("/")) -> dict[str, int]:
    """/proc/meminfo, in bytes."""
    lines = re.findall(r"^(\w+):\s+(\d+) kB", text(root / "proc/meminfo"), re.MULTILINE)
    return {name: int(size) << 10 for name, size in lines}


def policies(root: Path = Path("/")) -> list[Path]:
    """The folders of the groups of CPUs that change frequency together."""
    folder = root / "sys/devices/system/cpu/cpufreq"
    return sorted(folder.glob("policy*"), key=lambda path: int(path.name[6:]))


def _blocks(content: str) -> list[dict[str, str]]:
    """/proc/cpuinfo's paragraphs; what it says once for all CPUs is one of its own."""
    return [
        dict(re.findall(r"^([^\t:]+?)\s*: *(.*)$", block, re.MULTILINE))
        for block in re.split(r"\n\s*\n", content)
    ]


def _core(block: dict[str, str]) -> str:
    implementer, part = block.get("CPU implementer", ""), block.get("CPU part", "")
    if part:
        return _ARM_CORES.get((implementer, part), f"implementer {implementer} part {part}")
    return block.get("model name", "")


def _flags(cpuinfo: list[dict[str, str]]) -> set[str]:
    """The flags that all CPUs have: a thread may run on any of them."""
    found = [set((b.get("Features") or b.get("flags") or "").split()) for b in cpuinfo]
    found = [flags for flags in found if flags]
    return set.intersection(*found) if found else set()


def _product(root: Path) -> str:
    """What is written on the box, as the device tree or the firmware has it."""
    if tree := text(root / "proc/device-tree/model"):
        return tree
    dmi = root / "sys/class/dmi/id"
    parts = [text(dmi / "sys_vendor"), text(dmi / "product_name")]
    return " ".join(part for part in parts if part)


def _slug(product: str, architecture: str, count: int) -> str:
    words = re.sub(r"[^a-z0-9.]+", "-", product.lower()).strip("-.")[:60]
    name = (
        f"{words}-{count}" if words.startswith(architecture) else f"{words}-{architecture}-{count}"
    )
    return name.strip("-")


def _caches(root: Path) -> list[dict[str, Any]]:
    """Each kind of cache once, with how many of it there are and the CPUs that share one."""
    found: Counter[tuple[int, str, str, int]] = Counter()
    seen = set()
    for folder in sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cache/index*")):
        shared = text(folder / "shared_cpu_list")
        kind = (number(folder / "level") or 0, text(folder / "type"), text(folder / "size"))
        if (kind, shared) not in seen:
            seen.add((kind, shared))
            found[(*kind, len(_cpu_list(shared)))] += 1
    return [
        {"level": level, "type": type, "size": _bytes(size), "shared_by": shared, "count": count}
        for (level, type, size, shared), count in sorted(found.items())
    ]


def _bytes(size: str) -> int:
    digits, unit = size.rstrip("KMG"), size[-1:]
    return int(digits or 0) << {"K": 10, "M": 20, "G": 30}.get(unit, 0)


def _cpu_list(ranges: str) -> list[int]:
    """The CPUs of "0-3,8"."""
    found: list[int] = []
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _frequencies(root: Path) -> list[dict[str, Any]]:
    return [
        {
            "cpus": text(policy / "affected_cpus"),
            "governor": text(policy / "scaling_governor"),
            "driver": text(policy / "scaling_driver"),
            "min": (number(policy / "cpuinfo_min_freq") or 0) // 1000,
            "max": (number(policy / "cpuinfo_max_freq") or 0) // 1000,
        }
        for policy in policies(root)
    ]


def _usable() -> int:
    """CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(root: Path) -> float | None:
    """CPUs' worth of time that a container may take; None for no limit."""
    quota, _, period = text(root / "sys/fs/cgroup/cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def _system(root: Path) -> str:
    found = re.search(r'^PRETTY_NAME="?(.*?)"?$', text(root / "etc/os-release"), re.MULTILINE)
    return found[1] if found else platform.platform(terse=True)


def _runtime() -> dict[str, Any]:
    import numpy as np
    import onnxruntime

    import onnxforge

    return {
        "onnxruntime": onnxruntime.__version__,
        "onnxruntime_build": getattr(onnxruntime, "get_build_info", str)(),
        "providers": list(onnxruntime.get_available_providers()),
        "numpy": np.__version__,
        "onnxforge": onnxforge.__version__,
    }
