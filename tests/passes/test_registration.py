from __future__ import annotations

import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points

import pytest

import onnxforge_passes
from onnxforge import Pass, RewritePass

PASSES = {
    each: f"{module.name}:{each.__name__}"
    for module in pkgutil.iter_modules(onnxforge_passes.__path__, "onnxforge_passes.")
    for each in vars(importlib.import_module(module.name)).values()
    if isinstance(each, type) and issubclass(each, Pass) and each.__module__ == module.name
    if not inspect.isabstract(each)  # what passes have in common is no pass
}


@pytest.mark.parametrize("each", PASSES, ids=lambda each: each.name)
def test_every_pass_is_registered_under_its_name(each: type[Pass]) -> None:
    points = {point.name: point.value for point in entry_points(group="onnxforge.passes")}
    assert points.get(each.name) == PASSES[each], (
        f'add `{each.name} = "{PASSES[each]}"` to [project.entry-points."onnxforge.passes"] in '
        "pyproject.toml, then install again: pip install --no-deps -e ."
    )


@pytest.mark.parametrize("each", PASSES, ids=lambda each: each.name)
def test_every_pass_says_what_it_does_and_starts_with_no_options_given(each: type[Pass]) -> None:
    assert each.summary().endswith("."), "a pass is documented by its docstring"
    assert isinstance(each.build(), each)
    if issubclass(each, RewritePass):
        assert all(map(str, each.patterns())), "a pattern must print as ONNX text, for the docs"


def test_the_passes_in_standard_are_classes_of_ours() -> None:
    assert {type(each) for each in onnxforge_passes.standard.leaves()} <= PASSES.keys()


def test_there_are_passes_to_test() -> None:
    assert len(PASSES) >= 5
