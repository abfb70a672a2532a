"""The Android lane: run by `make test-android`, in short form (ANDROID=short) by CI.

It fetches tools by the names of packages.  If a registry has one no longer, the tests that need it
are skipped, and the end of the run says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime.quantization import QuantType

import onnxforge
from android.reference import MODE, PICTURES
from examples.digits import phone
from examples.digits.data import faces, joined, rendered
from examples.digits.phone import Entry
from examples.digits.quantize import quantize
from lane import apk as builder
from lane import arm64, jvm
from lane.toolchain import MissingError

ROOT = Path(__file__).parents[2]
missing: list[str] = []


def asked() -> None:
    """Go on only if the lane was asked for."""
    if MODE is None:
        pytest.skip("the Android lane is run by `make test-android`")


def had(make: Callable[[], Path | None]) -> Path | None:
    """What *make* gives; without a tool that it needs, the test is skipped, loudly."""
    asked()
    try:
        return make()
    except MissingError as error:
        missing.append(str(error))
        pytest.skip(f"cannot be had here: {error}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for each in dict.fromkeys(missing):
        terminalreporter.write_sep("!", "ANDROID LANE INCOMPLETE", red=True, bold=True)
        terminalreporter.write_line(each)


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """float32 [N, 1, 28, 28]: digits in print."""
    split = joined([rendered(face, number, 2) for number, face in enumerate(faces()[:5])])
    return split.images[:, None].astype(np.float32) / 255


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, images: np.ndarray) -> Path:
    """The models of the app, made of the network that ships with the examples."""
    asked()
    folder = tmp_path_factory.mktemp("models")
    original = ROOT / "examples" / "digits.onnx"
    optimized, int8 = folder / "optimized.onnx", folder / "int8.onnx"
    onnxforge.optimize(original).save(optimized)
    quantize(optimized, images, int8, QuantType.QInt8)
    made = {"original": original, "optimized": optimized, "int8": int8}
    assets = folder / "assets" / "models"
    phone.write({name: Entry(path, "by a test", 0.5) for name, path in made.items()}, assets)
    return assets


@pytest.fixture(scope="session")
def apk(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app, built around them."""
    pictures = models.parent / "pictures"
    pictures.mkdir()
    for path in PICTURES.iterdir():
        (pictures / path.name).write_bytes(path.read_bytes())
    path = tmp_path_factory.mktemp("apk") / "demo.apk"
    had(lambda: builder.build(models.parent, path))
    return path


@pytest.fixture(scope="session")
def desktop() -> Path:
    """Where the Android-free module lies, ready for a JVM."""
    return had(jvm.prepare)


@pytest.fixture(scope="session")
def emulated(apk: Path) -> Path:
    """Where the APK's own library lies, ready for qemu."""
    return had(lambda: arm64.prepare(apk))
