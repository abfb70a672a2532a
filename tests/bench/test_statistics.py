from __future__ import annotations

import numpy as np
import pytest

from onnxforge.bench.statistics import Estimate, geometric_mean, percentiles, ratio, unpaired_ratio

Processes = list[list[list[float]]]


def percentile(processes: Processes, percent: float) -> Estimate:
    (estimate,) = percentiles(processes, [percent])
    return estimate


def measured(scale: float, seed: int, processes: int = 5, bias: float = 0.01) -> Processes:
    """Eight turns of five runs for each process; *bias* is how far a process is off as a whole."""
    random = np.random.default_rng(seed)
    return [
        [list(own * (1 + 0.05 * random.standard_normal(5))) for _ in range(8)]
        for own in scale * (1 + bias * random.standard_normal(processes))
    ]


def test_a_percentile_is_of_all_runs():
    estimate = percentile([[[1.0, 2.0], [3.0]], [[4.0, 5.0]]], 50)
    assert estimate.value == 3.0
    assert estimate.low <= 3.0 <= estimate.high


def test_the_same_samples_give_the_same_interval():
    assert percentile(measured(1, 0), 90) == percentile(measured(1, 0), 90)


def test_runs_of_one_process_are_no_independent_samples_however_many_they_are():
    apart = [[[level] * 100] * 10 for level in (1.0, 1.2, 0.9, 1.1, 0.8)]
    estimate = percentile(apart, 50)
    assert estimate.high - estimate.low > 0.2


def test_a_difference_is_found():
    estimate = ratio(measured(0.8, 1), measured(1.0, 2))
    assert estimate.high < 1
    assert estimate.value == pytest.approx(0.8, rel=0.05)


def test_what_slows_both_cancels_out_of_a_ratio_of_neighbours():
    slow = [[1.0, 7.0, 3.0], [2.0, 9.0, 1.0]]
    first = [[[0.8 * each] for each in process] for process in slow]
    second = [[[each] for each in process] for process in slow]
    assert ratio(first, second) == Estimate(*[pytest.approx(0.8)] * 3)


def test_two_of_a_kind_are_no_difference_though_each_process_is_off_by_percents():
    found = [ratio(measured(1, seed), measured(1, 1000 + seed)).is_one for seed in range(100)]
    assert sum(found) >= 88  # 95 are expected; fewer than 88 has a chance of one in hundreds


def test_one_process_tells_nothing_about_a_difference():
    assert ratio(measured(0.5, 1, processes=1), measured(1, 2, processes=1)).is_one


def test_measurements_made_apart_have_a_ratio():
    first, second = ([2.0, 2.02, 1.98, 2.01], [1.0, 1.01, 0.99, 1.0])
    estimate = unpaired_ratio(first, second)
    assert estimate.low < 2 < estimate.high
    assert not estimate.is_one
    assert unpaired_ratio(second, second).value == 1


def test_measurements_made_apart_of_a_kind_are_no_difference():
    random = np.random.default_rng(3)
    pairs = [(1 + 0.02 * random.standard_normal((2, 5))) for _ in range(100)]
    assert sum(unpaired_ratio(list(a), list(b)).is_one for a, b in pairs) >= 88


def test_the_mean_of_ratios_is_geometric():
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
