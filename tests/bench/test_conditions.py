from __future__ import annotations

from dataclasses import replace

import pytest

from onnxforge.bench import conditions
from onnxforge.bench.conditions import Conditions

CALM = Conditions(governors=("performance",), frequencies={"policy0": (2_400_000, 2_400_000)})

FILES = {
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "81500\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1500000\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "2400000\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    "proc/loadavg": "3.50 2.00 1.00 2/345 6789\n",
    "proc/meminfo": "MemTotal: 100 kB\nSwapTotal: 204800 kB\nSwapFree: 4800 kB\n",
    "proc/vmstat": "nr_free_pages 5\npswpin 7\npswpout 8\n",
    "proc/stat": "cpu  100 0 50 900 10 0 5 45 0 0\ncpu0 1 2 3\n",
}


def test_conditions_are_read_from_the_kernels_files(files):
    found = Conditions.now(files(FILES))
    assert found.temperatures == {"thermal_zone0 cpu-thermal": 81.5}
    assert found.frequencies == {"policy0": (1_500_000, 2_400_000)}
    assert found.governors == ("ondemand",)
    assert found.load == 3.5
    assert found.swapped == 15
    assert found.swap_used == 200_000 << 10
    assert found.throttled == 3
    assert found.firmware == 0x50005
    assert (found.busy, found.stolen) == (200, 45)


def test_a_calm_machine_gives_no_warning():
    assert conditions.before(CALM, 4) == []
    assert conditions.during(CALM, CALM) == []


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"governors": ("powersave",)}, "governor is powersave"),
        ({"load": 1.2}, "a load of 1.2 on 4 CPUs"),
        ({"swap_used": 65 << 20}, "65 MiB are in swap"),
        ({"firmware": 1}, "reports under-voltage"),
        ({"temperatures": {"zone": 80.0}}, "zone is at 80 °C"),
    ],
)
def test_what_speaks_against_measuring_is_said_before(change, warning):
    (found,) = conditions.before(replace(CALM, **change), 4)
    assert warning in found


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"frequencies": {"policy0": (1_500_000, 2_400_000)}}, "1500 of 2400 MHz"),
        ({"throttled": 2}, "throttled 2 times"),
        ({"firmware": 4 << 16}, "throttling since the start"),
        ({"swapped": 9}, "9 pages"),
        ({"busy": 100, "stolen": 5}, "took 5% of the time"),
        ({"temperatures": {"zone": 85.0}}, "zone is at 85 °C"),
    ],
)
def test_what_disturbed_a_measurement_is_said_after(change, warning):
    (found,) = conditions.during(CALM, replace(CALM, **change))
    assert warning in found


def test_what_the_firmware_had_reported_before_is_old_news():
    old = replace(CALM, firmware=4 << 16)
    assert conditions.during(old, old) == []
