"""The lane itself, and what its two builds have to agree on; no tool is needed for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from examples.digits import phone
from lane import apk, toolchain

DEMO = Path(__file__).parents[2] / "android-demo"
JVM = "tests/android/test_app_on_jvm.py"


@pytest.mark.parametrize("before", [0, 1, 3999, 20000])
def test_what_is_stored_starts_at_a_multiple_of_its_alignment(tmp_path: Path, before: int) -> None:
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w") as archive:
        apk.add(archive, "first", bytes(before), zipfile.ZIP_STORED, 4)
        apk.add(archive, "lib/some.so", b"content", zipfile.ZIP_STORED, apk.PAGE)
    assert path.read_bytes().index(b"content") % apk.PAGE == 0
    with zipfile.ZipFile(path) as archive:
        assert archive.read("lib/some.so") == b"content"


def test_a_command_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(toolchain.MissingError, match="no-such-command is not installed"):
        toolchain.run("no-such-command")


def test_a_piece_that_is_not_the_known_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.jar"
    path.write_bytes(b"somebody else's")
    with pytest.raises(toolchain.MissingError, match=r"some\.jar is not the one known"):
        toolchain._expected(path, toolchain.D8_SHA256)


def test_nothing_that_a_failed_fetch_says_is_lost() -> None:
    with pytest.raises(
        toolchain.MissingError, match=r"(?s)a-package cannot be fetched.*the reason"
    ):
        toolchain.fetched(["a-package"], "sh", "-c", "echo the reason; exit 1")


def test_a_registry_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "TOOLS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("ONNXRUNTIME_AAR", raising=False)
    with pytest.raises(toolchain.MissingError, match="npm is not installed"):
        toolchain.aar()
    assert not (tmp_path / "aar").exists()


def test_without_a_tool_the_lane_is_skipped_and_says_so_at_the_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", JVM, "-k", "colours"],
        cwd=DEMO.parent,
        env=os.environ | {"ONNXFORGE_ANDROID": "short", "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout
    assert "ANDROID LANE INCOMPLETE" in done.stdout
    assert "openjdk-17-jdk-headless" in done.stdout


def test_the_core_module_knows_nothing_of_android() -> None:
    sources = list((DEMO / "core").rglob("*.java"))
    assert len(sources) > 5
    assert not [path for path in sources if re.search(r"\bandroid\.", path.read_text())]


def test_gradle_builds_with_the_same_versions() -> None:
    text = (DEMO / "app" / "build.gradle").read_text() + (
        DEMO / "core" / "build.gradle"
    ).read_text()
    for version in re.findall(r"com\.microsoft\.onnxruntime:onnxruntime\w*[-\w]*:([\d.]+)", text):
        assert version == toolchain.ONNXRUNTIME
    assert f"minSdk {apk.MIN_SDK}\n" in text
    assert f"abiFilters '{apk.ABI}'" in text


def test_a_model_with_an_opset_that_phones_may_lack_is_refused() -> None:
    model = helper.make_model(graph(), opset_imports=[helper.make_opsetid("", 22)])
    with pytest.raises(phone.NotForPhonesError, match="17 at most"):
        phone.check(model, Path("new.onnx"))


def test_a_model_with_another_domain_is_refused() -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    with pytest.raises(phone.NotForPhonesError, match=r"com\.microsoft"):
        phone.check(helper.make_model(graph(), opset_imports=opsets), Path("contrib.onnx"))


def test_a_model_with_weights_elsewhere_is_refused() -> None:
    model = helper.make_model(graph(), opset_imports=[helper.make_opsetid("", 17)])
    weight = TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    model.graph.initializer.append(weight)
    with pytest.raises(phone.NotForPhonesError, match="another file"):
        phone.check(model, Path("split.onnx"))


def graph() -> onnx.GraphProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    return helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
