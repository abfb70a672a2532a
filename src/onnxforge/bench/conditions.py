"""What disturbs a measurement: heat, changing frequencies, swap, other work.  Seen, and told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from onnxforge.bench.machine import meminfo, number, policies, text

_HOT = 80.0
"""Degrees Celsius from which boards start to slow down: a Raspberry Pi does at 80, and hard at 85."""
_SLOWED = 0.9
"""The share of its top frequency below which a CPU that has just worked was held back."""
_STOLEN = 0.02
"""The share of time a hypervisor may give to others unnoticed."""
_FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
_PI_NOW = {0: "under-voltage", 1: "a capped frequency", 2: "throttling", 3: "the soft heat limit"}
"""Bits of what the Raspberry Pi's firmware reports; 16 higher, the same since it was started."""


@dataclass(frozen=True)
class Conditions:
    """The state of a machine at one moment; what cannot be read is empty or 0."""

    temperatures: dict[str, float] = field(default_factory=dict)
    """Degrees Celsius by thermal zone."""
    frequencies: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Current and highest frequency in kHz, by frequency policy."""
    governors: tuple[str, ...] = ()
    load: float = 0.0
    """Processes that wanted to run, mean of the last minute."""
    swapped: int = 0
    """Pages written to and read from swap since the start."""
    swap_used: int = 0
    throttled: int = 0
    """How often the CPU throttled since the start, where the kernel counts."""
    firmware: int = 0
    """The Raspberry Pi's `get_throttled`."""
    busy: int = 0
    stolen: int = 0
    """Clock ticks worked, and ticks a hypervisor gave to others."""

    @classmethod
    def now(cls, root: Path = Path("/")) -> Conditions:
        """The state read from *root*'s /proc and /sys."""
        memory, stat = meminfo(root), text(root / "proc/stat")
        ticks = [int(each) for each in re.findall(r"\d+", stat.split("\n")[0])] + [0] * 8
        load = text(root / "proc/loadavg").split()
        firmware = text(root / _FIRMWARE)
        return cls(
            temperatures=_temperatures(root),
            frequencies={
                policy.name: (
                    number(policy / "scaling_cur_freq") or 0,
                    number(policy / "cpuinfo_max_freq") or 0,
                )
                for policy in policies(root)
            },
            governors=tuple(
                dict.fromkeys(
                    filter(None, (text(policy / "scaling_governor") for policy in policies(root)))
                )
            ),
            load=float(load[0]) if load else 0.0,
            swapped=sum(
                int(n)
                for n in re.findall(
                    r"^pswp(?:in|out) (\d+)", text(root / "proc/vmstat"), re.MULTILINE
                )
            ),
            swap_used=memory.get("SwapTotal", 0) - memory.get("SwapFree", 0),
            throttled=sum(
                number(path) or 0
                for path in (root / "sys/devices/system/cpu").glob(
                    "cpu[0-9]*/thermal_throttle/core_throttle_count"
                )
            ),
            firmware=int(firmware, 16) if re.fullmatch(r"(0x)?[0-9a-f]+", firmware) else 0,
            busy=sum(ticks[:3]) + sum(ticks[5:8]),
            stolen=ticks[7],
        )


def before(now: Conditions, cpus: int) -> list[str]:
    """What speaks against measuring *now*, on a machine of so many *cpus*, in words."""
    found = []
    if slow := [governor for governor in now.governors if governor != "performance"]:
        found.append(
            f"the frequency governor is {', '.join(slow)}: "
            "`sudo cpupower frequency-set -g performance` keeps the clock up"
        )
    if now.load > 0.25 * cpus:
        found.append(f"other work is running: a load of {now.load:.1f} on {cpus} CPUs")
    if now.swap_used > 64 << 20:
        found.append(f"{now.swap_used >> 20} MiB are in swap")
    found += [f"the firmware reports {each}" for each in _bits(now.firmware, 0)]
    return found + _hot(now)


def during(start: Conditions, end: Conditions) -> list[str]:
    """What disturbed a measurement between *start* and *end*, in words."""
    found = []
    for policy, (current, top) in end.frequencies.items():
        if 0 < current < _SLOWED * top and "powersave" not in end.governors:
            found.append(f"{policy} ran at {current // 1000} of {top // 1000} MHz at the end")
    if end.throttled > start.throttled:
        found.append(f"the CPU throttled {end.throttled - start.throttled} times")
    news = [each for each in _bits(end.firmware, 16) if each not in _bits(start.firmware, 16)]
    found += [f"the firmware reports {each} since the start" for each in news]
    if end.swapped > start.swapped:
        found.append(f"{end.swapped - start.swapped} pages went to or came from swap")
    if (work := end.busy - start.busy) and (end.stolen - start.stolen) / work > _STOLEN:
        share = (end.stolen - start.stolen) / work
        found.append(f"the hypervisor took {share:.0%} of the time for others")
    return found + _hot(end)


def _temperatures(root: Path) -> dict[str, float]:
    zones = sorted((root / "sys/class/thermal").glob("thermal_zone*"))
    read = {f"{zone.name} {text(zone / 'type')}".strip(): number(zone / "temp") for zone in zones}
    return {name: value / 1000 for name, value in read.items() if value is not None}


def _hot(state: Conditions) -> list[str]:
    return [
        f"{zone} is at {degrees:.0f} °C: boards slow down from {_HOT:.0f} °C"
        for zone, degrees in state.temperatures.items()
        if degrees >= _HOT
    ]


def _bits(word: int, shift: int) -> list[str]:
    return [name for bit, name in _PI_NOW.items() if word >> (bit + shift) & 1]
