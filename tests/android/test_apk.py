"""What is in the APK, and that a phone would take it."""

from __future__ import annotations

import shutil
import struct
import zipfile
from pathlib import Path

import pytest

from lane.apk import ABI, MIN_SDK, PAGE
from lane.toolchain import need, run

LIBRARIES = {f"lib/{ABI}/libonnxruntime.so", f"lib/{ABI}/libonnxruntime4j_jni.so"}


def test_it_holds_the_app_its_models_and_libraries_and_nothing_else(apk: Path) -> None:
    with zipfile.ZipFile(apk) as archive:
        assert archive.testzip() is None
        names = {name for name in archive.namelist() if not name.startswith("META-INF/")}
    models = {"original.onnx", "optimized.onnx", "int8.onnx", "models.properties"}
    pictures = {"digit-7.png", "sudoku-0.png", "sudoku-1.png"}
    assert names == {
        "AndroidManifest.xml",
        "resources.arsc",
        "classes.dex",
        *(f"assets/models/{name}" for name in models),
        *(f"assets/pictures/{name}" for name in pictures),
        *LIBRARIES,
    }


def test_its_models_are_the_ones_that_were_made(apk: Path, models: Path) -> None:
    with zipfile.ZipFile(apk) as archive:
        for path in models.iterdir():
            assert archive.read(f"assets/models/{path.name}") == path.read_bytes()


def test_its_manifest_names_one_activity_and_asks_for_no_permission(apk: Path) -> None:
    told = run("aapt2", "dump", "badging", apk)
    assert "package: name='dev.onnxforge.demo'" in told
    assert f"sdkVersion:'{MIN_SDK}'" in told
    assert "targetSdkVersion:'34'" in told
    assert "launchable-activity: name='dev.onnxforge.demo.MainActivity'" in told
    assert f"native-code: '{ABI}'" in told
    assert "uses-permission" not in told


def test_it_is_signed_by_the_schemes_of_its_oldest_and_of_newer_phones(apk: Path) -> None:
    told = run("apksigner", "verify", "--verbose", "--min-sdk-version", MIN_SDK, apk)
    assert "Verified using v2 scheme (APK Signature Scheme v2): true" in told
    assert "Verified using v3 scheme (APK Signature Scheme v3): true" in told


def test_a_changed_byte_breaks_the_signature(apk: Path, tmp_path: Path) -> None:
    forged = tmp_path / "forged.apk"
    shutil.copyfile(apk, forged)
    with zipfile.ZipFile(apk) as archive:
        entry = archive.getinfo("assets/models/int8.onnx")
    with forged.open("r+b") as file:
        file.seek(entry.header_offset + 5000)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(RuntimeError, match="DOES NOT VERIFY"):
        run("apksigner", "verify", "--min-sdk-version", MIN_SDK, forged)


def test_libraries_lie_uncompressed_at_pages_of_16_kb(apk: Path) -> None:
    with zipfile.ZipFile(apk) as archive, apk.open("rb") as file:
        for name in LIBRARIES:
            entry = archive.getinfo(name)
            assert entry.compress_type == zipfile.ZIP_STORED
            file.seek(entry.header_offset + 26)
            name_size, extra_size = struct.unpack("<HH", file.read(4))
            assert (entry.header_offset + 30 + name_size + extra_size) % PAGE == 0


def test_libraries_are_of_arm64_with_segments_at_pages_of_16_kb(apk: Path) -> None:
    with zipfile.ZipFile(apk) as archive:
        for name in LIBRARIES:
            machine, alignments = segments(archive.read(name))
            assert machine == 183  # EM_AARCH64
            assert alignments
            assert all(alignment % PAGE == 0 for alignment in alignments)


def segments(elf: bytes) -> tuple[int, list[int]]:
    """The machine of a 64-bit ELF file, and the alignments of what is loaded of it."""
    assert elf[:5] == b"\x7fELF\x02"
    (machine,) = struct.unpack_from("<H", elf, 18)
    (offset,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    headers = [offset + size * number for number in range(count)]
    loaded = [at for at in headers if struct.unpack_from("<I", elf, at)[0] == 1]
    return machine, [struct.unpack_from("<Q", elf, at + 48)[0] for at in loaded]


def test_its_code_is_ours_and_onnx_runtimes(apk: Path, tmp_path: Path) -> None:
    need("dexdump")
    with zipfile.ZipFile(apk) as archive:
        archive.extract("classes.dex", tmp_path)
    told = run("dexdump", tmp_path / "classes.dex")
    classes = {line.split("'")[1] for line in told.splitlines() if "Class descriptor" in line}
    assert {"Ldev/onnxforge/demo/MainActivity;", "Ldev/onnxforge/demo/core/Reading;"} <= classes
    assert "Lai/onnxruntime/OrtSession;" in classes
    assert all(name.startswith(("Ldev/onnxforge/demo/", "Lai/onnxruntime/")) for name in classes)
