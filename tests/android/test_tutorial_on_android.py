"""The last pages of the tutorial: they end with a verified APK and the table."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

from lane.apk import MIN_SDK
from lane.toolchain import run

ROOT = Path(__file__).parents[2]
TUTORIAL = runpy.run_path(str(ROOT / "docs" / "tutorial" / "run.py"))
PAGES = {page.stem: page for page in TUTORIAL["PAGES"]}


def test_followed_to_its_end_the_tutorial_leaves_a_verified_apk_and_a_table(
    apk: Path, emulated: Path, tmp_path: Path
) -> None:
    assert apk.exists()  # else the tools cannot be had, and both fixtures have said so
    assert emulated.exists()
    folder = TUTORIAL["workshop"](tmp_path)
    # `make android-models` trains first if nobody has, as it does here.
    TUTORIAL["follow"](PAGES["9-android"], folder, DIGITS_EPOCHS="2")
    signed = folder / "build" / "android" / "onnxforge-demo.apk"
    run("apksigner", "verify", "--min-sdk-version", MIN_SDK, signed)
    text = TUTORIAL["follow"](PAGES["10-results"], folder)
    rows = re.findall(r"^\| (original|optimized|int8) \| ([\d.]+)% \|", text, re.MULTILINE)
    assert [name for name, _ in rows] == ["original", "optimized", "int8"]
    assert all(float(accuracy) > 97 for _, accuracy in rows)
    counted = json.loads((folder / "build/android/instructions.json").read_text())
    assert counted["int8"]["XNNPACK"] < counted["original"]["CPU"] / 2
