"""Build, align, sign and verify the APK: `python -m lane.apk`, in `android-demo`."""

from __future__ import annotations

import shutil
import struct
import sys
import zipfile
from pathlib import Path

from lane.toolchain import BUILD, ROOT, MissingError, aar, d8, need, platform, run

DEMO = ROOT / "android-demo"
MAIN = DEMO / "app" / "src" / "main"
CORE = DEMO / "core" / "src" / "main" / "java"
MIN_SDK = "24"
ABI = "arm64-v8a"
PAGE = 16384
"""Newer phones have pages of 16 KB, and map libraries out of the APK."""
ALIGNED = 0xD935
"""The extra field that tells apksigner an entry's alignment, which it else resets to 4 KB."""


def build(assets: Path, apk: Path) -> None:
    """Write the app with what is in *assets* to *apk*, signed.

    Raises:
        MissingError: A tool cannot be had.
        RuntimeError: A tool failed.

    """
    need("javac", "aapt2", "apksigner", "zipalign")
    work = BUILD / "apk"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    resources(work, assets)
    classes(work)
    aligned = work / "aligned.apk"
    pack(work, aligned)
    # Its own alignment of libraries is 4 KB; that of 16 KB is `pack`'s, and implies it.
    run("zipalign", "-c", "-p", "4", aligned)
    signed = work / "signed.apk"
    password = ("--ks-pass", "pass:android")
    run(
        "apksigner", "sign", "--ks", key(), *password, "--min-sdk-version", MIN_SDK,
        "--out", signed, aligned,
    )  # fmt: skip
    run("apksigner", "verify", "--min-sdk-version", MIN_SDK, signed)
    apk.parent.mkdir(parents=True, exist_ok=True)
    signed.replace(apk)


def resources(work: Path, assets: Path) -> None:
    """The manifest, resources and assets as `resources.apk`, and `R.java`."""
    run("aapt2", "compile", "--dir", MAIN / "res", "-o", work / "res.zip")
    run(
        "aapt2", "link", "-o", work / "resources.apk", "-I", platform(),
        "--manifest", MAIN / "AndroidManifest.xml", "-A", assets, "--java", work / "generated",
        work / "res.zip",
    )  # fmt: skip


def classes(work: Path) -> None:
    """The app's classes and ONNX Runtime's as `classes.dex`."""
    library = aar() / "classes.jar"
    folders = (MAIN / "java", CORE, work / "generated")
    sources = [source for folder in folders for source in sorted(folder.rglob("*.java"))]
    # Source level 8 and the platform's own classes: what is not in API 23 does not compile.
    run(
        "javac", "-nowarn", "-source", "8", "-target", "8", "-bootclasspath", platform(),
        "-cp", library, "-d", work / "classes", *sources,
    )  # fmt: skip
    compiled = sorted((work / "classes").rglob("*.class"))
    (work / "dex").mkdir()
    options = ("--release", "--min-api", MIN_SDK, "--lib", platform(), "--output", work / "dex")
    run(*d8(), *options, *compiled, library)


def pack(work: Path, apk: Path) -> None:
    """Write *apk*: libraries uncompressed and at page boundaries, since they are run from there."""
    with (
        zipfile.ZipFile(work / "resources.apk") as linked,
        zipfile.ZipFile(apk, "w") as archive,
    ):
        for entry in linked.infolist():
            # Android maps the table of resources, and the app may map its models.
            stored = entry.filename.endswith((".arsc", ".onnx"))
            method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            add(archive, entry.filename, linked.read(entry), method, 4)
        dex = (work / "dex" / "classes.dex").read_bytes()
        add(archive, "classes.dex", dex, zipfile.ZIP_DEFLATED, 4)
        for library in sorted((aar() / "jni" / ABI).glob("*.so")):
            name = f"lib/{ABI}/{library.name}"
            add(archive, name, library.read_bytes(), zipfile.ZIP_STORED, PAGE)


def add(archive: zipfile.ZipFile, name: str, data: bytes, method: int, alignment: int) -> None:
    """Append *data* as *name*, starting at a multiple of *alignment*, without a time stamp."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = method
    if method == zipfile.ZIP_STORED:
        assert archive.fp is not None
        start = archive.fp.tell() + 30 + len(name.encode()) + 6
        padding = -start % alignment
        entry.extra = struct.pack("<HHH", ALIGNED, 2 + padding, alignment) + bytes(padding)
    archive.writestr(entry, data)


def key() -> Path:
    """A key of your own to sign with, made once: for your phone, not for a store."""
    store = BUILD / "debug.keystore"
    if not store.exists():
        store.parent.mkdir(parents=True, exist_ok=True)
        run(
            "keytool", "-genkeypair", "-keystore", store, "-storepass", "android",
            "-keypass", "android", "-alias", "demo", "-keyalg", "RSA", "-keysize", "2048",
            "-validity", "10000", "-dname", "CN=onnxforge demo",
        )  # fmt: skip
    return store


def main() -> None:
    assets = MAIN / "assets"
    if not (assets / "models" / "models.properties").exists():
        sys.exit("the app has no models yet: make android-models")
    apk = BUILD / "onnxforge-demo.apk"
    try:
        build(assets, apk)
    except (MissingError, RuntimeError) as error:
        sys.exit(f"no APK: {error}")
    print(f"{apk.relative_to(ROOT)}: {apk.stat().st_size:,} bytes, signed and verified")


if __name__ == "__main__":
    main()
