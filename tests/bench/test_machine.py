from __future__ import annotations

import platform

import pytest

from onnxforge.bench import machine

PI5 = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/cpuinfo": "".join(
        f"processor\t: {core}\nBogoMIPS\t: 108.00\n"
        "Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid "
        "asimdrdm lrcpc dcpop asimddp\n"
        "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\n"
        "CPU part\t: 0xd0b\nCPU revision\t: 1\n\n"
        for core in range(4)
    )
    + "Revision\t: d04170\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
    "proc/meminfo": "MemTotal:        8245296 kB\nSwapTotal:        204784 kB\nSwapFree: 204784 kB\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_driver": "cpufreq-dt\n",
    "sys/devices/system/cpu/cpufreq/policy0/affected_cpus": "0 1 2 3\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_min_freq": "1500000\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "2400000\n",
    **{
        f"sys/devices/system/cpu/cpu{core}/cache/index{index}/{name}": value
        for core in range(4)
        for index, kind in enumerate(
            [
                {"level": "1", "type": "Data", "size": "64K", "shared_cpu_list": str(core)},
                {"level": "3", "type": "Unified", "size": "2M", "shared_cpu_list": "0-3"},
            ]
        )
        for name, value in kind.items()
    },
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
}


def test_a_board_is_described_by_its_files(files, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    found = machine.describe(files(PI5))
    assert found["product"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert found["name"] == "raspberry-pi-5-model-b-rev-1.0-aarch64-4"
    assert found["cores"] == [{"name": "Cortex-A76", "count": 4}]
    assert found["features"] == ["asimd", "fp16", "dotprod"]
    assert found["frequencies"] == [
        {
            "cpus": "0 1 2 3",
            "governor": "ondemand",
            "driver": "cpufreq-dt",
            "min": 1500,
            "max": 2400,
        }
    ]
    assert found["memory"] == 8245296 * 1024
    assert found["swap"] == 204784 * 1024
    assert found["system"] == "Debian GNU/Linux 12 (bookworm)"


def test_each_cache_is_counted_once(files):
    l1, l3 = machine.describe(files(PI5))["caches"]
    assert l1 == {"level": 1, "type": "Data", "size": 64 << 10, "shared_by": 1, "count": 4}
    assert l3 == {"level": 3, "type": "Unified", "size": 2 << 20, "shared_by": 4, "count": 1}


def test_a_feature_is_one_that_all_cores_have(files):
    cpuinfo = (
        "processor: 0\nFeatures: asimd i8mm\nCPU implementer: 0x41\nCPU part: 0xd46\n\n"
        "processor: 1\nFeatures: asimd i8mm bf16\nCPU implementer: 0x41\nCPU part: 0xd47\n\n"
    )
    found = machine.describe(files({"proc/cpuinfo": cpuinfo}))
    assert found["features"] == ["asimd", "i8mm"]
    assert [core["name"] for core in found["cores"]] == ["Cortex-A510", "Cortex-A710"]


@pytest.mark.parametrize(
    ("flags", "feature"),
    [("sve sve2", "sve2"), ("sme", "sme"), ("avx512f avx512bw avx512vl", "avx512")],
)
def test_features_have_the_names_people_use(files, flags, feature):
    root = files({"proc/cpuinfo": f"processor : 0\nflags : {flags}\n"})
    assert feature in machine.describe(root)["features"]


def test_a_core_nobody_knows_is_told_by_its_numbers(files):
    root = files({"proc/cpuinfo": "processor: 0\nCPU implementer: 0x99\nCPU part: 0x123\n"})
    (core,) = machine.describe(root)["cores"]
    assert core["name"] == "implementer 0x99 part 0x123"


def test_what_is_unknown_is_empty(files):
    found = machine.describe(files({"empty": ""}))
    assert found["product"] == ""
    assert found["features"] == found["caches"] == found["frequencies"] == []
    assert found["cpu_quota"] is None


def test_the_machine_says_which_runtime_was_measured():
    import onnxruntime

    found = machine.describe()
    assert found["onnxruntime"] == onnxruntime.__version__
    assert "CPUExecutionProvider" in found["providers"]
    assert found["usable_cpus"] >= 1
