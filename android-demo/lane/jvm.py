"""The Android-free module on a desktop's JVM, with the AAR's own classes and JNI library.

Behind the AAR's x86-64 `libonnxruntime4j_jni.so` is PyPI's `libonnxruntime.so` of the same version:
Android's own needs Android's libc in earnest, the JNI library hardly.
"""

from __future__ import annotations

import platform as machine
import sys
import zipfile
from pathlib import Path

from lane.toolchain import BUILD, ONNXRUNTIME, MissingError, aar, fetched, need, run

HERE = Path(__file__).parent
CORE = HERE.parent / "core" / "src"


def prepare() -> Path:
    """A folder with `classes` of the module and its harness, and `native` libraries.

    Raises:
        MissingError: A piece cannot be had, or this machine is no x86-64.

    """
    if machine.machine() != "x86_64":
        raise MissingError(f"the AAR has no library for a desktop's {machine.machine()}")
    need("javac", "gcc")
    folder = BUILD / "jvm"
    if not (folder / "native").exists():
        native(folder / "part")
        (folder / "part").rename(folder / "native")
    sources = sorted(CORE.rglob("*.java"))
    run(
        "javac", "-Werror", "-Xlint:all,-options,-classfile", "--release", "8",
        "-cp", aar() / "classes.jar", "-d", folder / "classes", *sources,
    )  # fmt: skip
    return folder


def native(folder: Path) -> None:
    """The libraries that the JNI library asks for by name."""
    folder.mkdir(parents=True, exist_ok=True)
    desktop = folder / "libonnxruntime.so.1"
    desktop.write_bytes(_desktop_library(folder))
    jni = "libonnxruntime4j_jni.so"
    (folder / jni).write_bytes((aar() / "jni" / "x86_64" / jni).read_bytes())
    shared = ("gcc", "-O2", "-fno-builtin", "-shared", "-fPIC", "-w")
    script = f"-Wl,--version-script={HERE / 'jvm' / 'libc.map'}"
    run(*shared, "-o", folder / "libc.so", HERE / "jvm" / "libc.c", script)
    (folder / "empty.c").write_text("")
    for name in ("libm.so", "libdl.so"):  # named as needed, and nothing in them used
        run(*shared, "-o", folder / name, folder / "empty.c")
    symbol = "OrtSessionOptionsAppendExecutionProvider_Nnapi"
    (folder / "nnapi.map").write_text(f"VERS_{ONNXRUNTIME} {{ global: {symbol}; local: *; }};\n")
    run(
        *shared, "-o", folder / "libonnxruntime.so", HERE / "jvm" / "nnapi.c",
        f"-Wl,--version-script={folder / 'nnapi.map'}", "-Wl,-soname,libonnxruntime.so",
        "-Wl,--no-as-needed", desktop, "-Wl,-rpath,$ORIGIN",
    )  # fmt: skip


def _desktop_library(folder: Path) -> bytes:
    package = f"onnxruntime=={ONNXRUNTIME}"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    fetched([package], *pip, "download", "-q", "--no-deps", "-d", folder, package)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        library = archive.read(f"onnxruntime/capi/libonnxruntime.so.{ONNXRUNTIME}")
    wheel.unlink()
    return library


def harness(folder: Path, *arguments: str | Path) -> str:
    """What the harness prints, run in what `prepare` made."""
    return run(
        "java", f"-Donnxruntime.native.path={folder / 'native'}",
        "-cp", f"{folder / 'classes'}:{aar() / 'classes.jar'}",
        "dev.onnxforge.demo.core.Harness", *arguments,
        env={"LD_LIBRARY_PATH": str(folder / "native")},
    )  # fmt: skip
