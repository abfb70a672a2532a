"""The command, in this process; what it measures is in others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from onnxforge.bench import jobs, results
from onnxforge.bench.configuration import Configuration
from onnxforge.cli import app

QUICK = ("--seconds", "0.01")


def bench(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a model against itself, stored."""
    import onnx

    from onnxforge.testing import model

    folder = tmp_path_factory.mktemp("measured")
    onnx.save(model("g (float[4] x) => (float[4] y) { y = Relu(x) }"), folder / "relu.onnx")
    (folder / "again.onnx").write_bytes((folder / "relu.onnx").read_bytes())
    done = bench(
        *(folder / "relu.onnx", "--against", folder / "again.onnx", *QUICK),
        *("--json", folder / "out.json", "--html", folder / "out.html"),
    )
    assert done.exit_code == 0, done.output
    (folder / "printed.txt").write_text(done.stdout)
    return folder


def test_a_comparison_is_printed_with_its_verdict(measured: Path) -> None:
    printed = (measured / "printed.txt").read_text()
    assert printed.startswith("cpu, 1 thread(s), level all\n  relu.onnx\n    latency ")
    assert "relu.onnx against again.onnx: " in printed


def test_results_say_what_was_measured_where(measured: Path) -> None:
    found = results.read(measured / "out.json")
    assert found["machine"]["onnxruntime"]
    assert [row["model"] for row in found["rows"]] == ["relu", "again"]
    assert found["settings"]["seconds"] == 0.01


def test_the_page_needs_nothing_from_elsewhere(measured: Path) -> None:
    page = (measured / "out.html").read_text()
    assert "relu.onnx" in page
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert "against again.onnx: " in page


def test_the_page_shows_names_as_they_are(measured: Path) -> None:
    from onnxforge.bench import report

    found = results.read(measured / "out.json")
    found["rows"][0]["file"] = "<img onerror=alert(1)>.onnx"
    assert "<img" not in report.page()(found)


def test_what_is_measured_already_is_not_measured_again(measured: Path) -> None:
    store = measured / "again.json"
    store.write_bytes((measured / "out.json").read_bytes())
    arguments = (measured / "relu.onnx", "--against", measured / "again.onnx", *QUICK)
    done = bench(*arguments, "--json", store)
    assert done.exit_code == 0
    assert done.stdout == "1 of 1 are measured already\n"
    changed = bench(*arguments, "--json", store, "--level", "basic")
    assert "level basic" in changed.stdout
    assert len(results.read(store)["rows"]) == 4


def test_results_of_another_machine_are_not_continued(measured: Path) -> None:
    store = measured / "other.json"
    found = results.read(measured / "out.json")
    found["machine"]["name"] = "some-board"
    results.write(store, found | {"rows": []})
    done = bench(measured / "relu.onnx", *QUICK, "--json", store)
    assert done.exit_code == 2
    assert "of another machine: name was some-board" in done.stderr
    assert results.read(store)["rows"] == []


def test_two_result_files_are_compared(measured: Path) -> None:
    found = results.read(measured / "out.json")
    found["machine"]["name"] = "a-faster-board"
    for row in found["rows"]:
        row["process_medians"] = [each / 2 for each in row["process_medians"]]
    results.write(measured / "fast.json", found)
    done = bench("compare", measured / "out.json", measured / "fast.json")
    assert done.exit_code == 0, done.output
    assert "a-faster-board" in done.stdout
    assert ": 0.500 (" in done.stdout
    assert "geometric mean of the ratios: 0.500" in done.stdout


def test_results_compared_with_themselves_are_no_difference(measured: Path) -> None:
    done = bench("compare", measured / "out.json", measured / "out.json")
    assert done.stdout.count("no difference: 1.000") == 2


def test_what_is_no_results_is_refused(measured: Path) -> None:
    for content in ("", "[]", '{"format": "onnxforge-bench/0"}'):
        (measured / "wrong.json").write_text(content)
        done = bench("compare", measured / "wrong.json", measured / "out.json")
        assert done.exit_code == 2
        assert done.stderr.startswith(f"onnxforge: {measured / 'wrong.json'}: ")


def test_a_missing_provider_fails_and_measures_nothing(measured: Path) -> None:
    done = bench(measured / "relu.onnx", *QUICK, "--ep", "armnn")
    assert done.exit_code == 1
    assert "not measured: armnn: this ONNX Runtime" in done.stdout
    assert "latency" not in done.stdout


def test_a_suite_measures_the_variants_of_each_model_together(measured: Path) -> None:
    np.savez(measured / "relu.npz", x=np.ones(4, np.float32))
    variants = {"onnxforge": "relu.onnx", "original": "again.onnx"}
    entry = {"name": "relu", "feeds": "relu.npz", "variants": variants}
    (measured / "suite.json").write_text(json.dumps({"models": [entry]}))
    done = bench("suite", measured, *QUICK)
    assert done.exit_code == 0, done.output
    assert "relu.onnx against again.onnx: " in done.stdout


def test_what_a_suite_has_for_a_provider_comes_first_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "relu.npz", x=np.ones(4, np.float32))
    entry = {
        "name": "relu",
        "feeds": "relu.npz",
        "variants": {"onnxforge": "relu.onnx"},
        "targets": {"xnnpack": "relu.xnnpack.onnx"},
    }
    (tmp_path / "suite.json").write_text(json.dumps({"models": [entry]}))
    found = jobs.suite(tmp_path, [Configuration("cpu"), Configuration("xnnpack+no-spin")])
    names = [[path.name for path in job.models] for job in found]
    assert names == [["relu.onnx"], ["relu.xnnpack.onnx", "relu.onnx"]]


def test_providers_are_listed_with_where_to_get_them() -> None:
    done = bench("providers")
    assert done.exit_code == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert lines["cpu"].endswith("here")
    assert "--use_acl" in lines["acl"]
    assert "mlas.disable_kleidiai=1" in lines["no-kleidiai"]


def test_the_machine_is_described_as_json() -> None:
    assert json.loads(bench("machine").stdout)["architecture"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ep", "gpu"), "no provider called 'gpu'"),
        (("--threads", "0"), "--threads '0': write numbers"),
        (("--level", "max"), "--level 'max': there are disable, basic"),
        (("--option", "key"), "--option 'key': write KEY=VALUE"),
        (("--batch", "2"), "--batch 2: the first dimension"),
        (("--affinity", "x"), "--affinity 'x': write numbers"),
        (("--on", "a", "--scheduler", "b"), "one of the two"),
        (("--scheduler", "tcp://localhost:1"), "--scheduler needs --resource"),
        (("--json", "/nowhere/out.json"), "no such folder"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    measured: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = bench(measured / "relu.onnx", *QUICK, *arguments)
    assert done.exit_code in (1, 2)
    assert message in done.output


def test_a_model_that_is_not_there_is_named() -> None:
    done = bench("nowhere.onnx")
    assert done.exit_code == 2
    assert "nowhere.onnx: no such model" in done.stderr


def test_numbers_of_models_must_fit(measured: Path) -> None:
    one, two = measured / "relu.onnx", measured / "again.onnx"
    done = bench(one, two, "--against", one, "--against", two, "--against", two)
    assert "2 models and 3 --against" in done.stderr


def test_the_process_that_measures_holds_nothing_of_ours() -> None:
    from onnxforge.bench import process

    code = (
        f"import runpy, sys; runpy.run_path({str(process._WORKER)!r}); "
        "print([m for m in sys.modules if m.split('.')[0] in ('onnx', 'onnxforge', 'typer')])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], check=False, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
