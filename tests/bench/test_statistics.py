from __future__ import annotations

import numpy as np
import pytest

from onnxforge.bench.statistics import Estimate, geometric_mean, percentiles, ratio, unpaired_ratio


def percentile(turns: list[list[float]], percent: float) -> Estimate:
    (estimate,) = percentiles(turns, [percent])
    return estimate


def turns(scale: float, seed: int, count: int = 20) -> list[list[float]]:
    random = np.random.default_rng(seed)
    return [list(scale * (1 + 0.05 * random.standard_normal(5))) for _ in range(count)]


def test_a_percentile_is_of_all_runs():
    estimate = percentile([[1.0, 2.0], [3.0, 4.0, 5.0]], 50)
    assert estimate.value == 3.0
    assert estimate.low <= 3.0 <= estimate.high


def test_the_same_samples_give_the_same_interval():
    assert percentile(turns(1, 0), 90) == percentile(turns(1, 0), 90)


def test_more_turns_narrow_the_interval():
    few, many = (percentile(turns(1, 0, count), 50) for count in (8, 200))
    assert many.high - many.low < few.high - few.low


def test_turns_that_differ_widen_the_interval_though_runs_within_them_agree():
    """Runs of one turn are no independent samples, however many they are."""
    drifting = [[level] * 100 for level in (1.0, 1.2, 0.9, 1.1, 1.3, 0.8)]
    estimate = percentile(drifting, 50)
    assert estimate.high - estimate.low > 0.2


def test_a_difference_is_found():
    estimate = ratio(turns(0.8, 1), turns(1.0, 2))
    assert estimate.high < 1
    assert estimate.value == pytest.approx(0.8, rel=0.05)


def test_what_slows_both_cancels_out_of_a_ratio_of_pairs():
    slow = np.linspace(1, 10, 20)
    first = [[0.8 * each] for each in slow]
    second = [[each] for each in slow]
    assert ratio(first, second) == Estimate(*[pytest.approx(0.8)] * 3)


def test_two_of_a_kind_are_no_difference():
    found = [ratio(turns(1, seed), turns(1, 1000 + seed)).is_one for seed in range(40)]
    assert sum(found) >= 34  # 38 of 40 are expected; fewer than 34 has a chance of one in thousands


def test_an_interval_holds_the_truth_about_as_often_as_it_claims():
    estimates = [percentile(turns(1, seed), 50) for seed in range(40)]
    assert sum(e.low <= 1 <= e.high for e in estimates) >= 34


def test_measurements_made_apart_have_a_ratio():
    first, second = ([float(np.median(t)) for t in turns(s, s_)] for s, s_ in ((2.0, 5), (1.0, 6)))
    estimate = unpaired_ratio(first, second)
    assert estimate.low < 2 < estimate.high
    assert not estimate.is_one


def test_the_mean_of_ratios_is_geometric():
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
