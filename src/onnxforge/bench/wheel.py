"""The library as a wheel, made of the files it runs from, to take it to another machine."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

_NAME = "onnxforge"
_WHEEL = """Wheel-Version: 1.0
Generator: onnxforge
Root-Is-Purelib: true
Tag: py3-none-any
"""


def build(folder: Path) -> Path:
    """Write the wheel to *folder*.

    It need not be built from source, which an installed library has not got, and has the edits of
    an editable one.
    """
    distribution = metadata.distribution(_NAME)
    info = f"{_NAME}-{distribution.version}.dist-info"
    path = folder / f"{_NAME}-{distribution.version}-py3-none-any.whl"
    record = []
    with ZipFile(path, "w") as archive:
        for name, content in _content(distribution, info):
            # A date of its own would make another file of the same contents.
            archive.writestr(ZipInfo(name), content, ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            record.append(f"{name},sha256={digest.decode()},{len(content)}\n")
        archive.writestr(ZipInfo(f"{info}/RECORD"), f"{''.join(record)}{info}/RECORD,,\n")
    return path


def _content(distribution: metadata.Distribution, info: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of files.  The packages are those that the entry points are in."""
    packages = dict.fromkeys(
        [
            _NAME,
            *(each.value.partition(":")[0].partition(".")[0] for each in distribution.entry_points),
        ]
    )
    for package in packages:
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations if spec else None) or ():
            for file in sorted(Path(root).rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    name = (Path(package) / file.relative_to(root)).as_posix()
                    yield name, file.read_bytes()
    for name in ("METADATA", "entry_points.txt"):
        yield f"{info}/{name}", (distribution.read_text(name) or "").encode()
    yield f"{info}/WHEEL", _WHEEL.encode()
