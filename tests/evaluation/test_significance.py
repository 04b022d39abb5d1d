"""Tests and intervals against scipy, statsmodels and brute force; their coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import bootstrap, norm
from statsmodels.stats.contingency_tables import mcnemar as peer

from edgewright.errors import DataError
from edgewright.evaluation.significance import bootstrap_interval, judge, mcnemar, mean_interval, samples_needed, score_interval


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (1, 0), (3, 11), (11, 3), (25, 25), (40, 61), (500, 431)])
def test_mcnemar_is_that_of_statsmodels(lost: int, gained: int) -> None:
    theirs = 1.0 if lost == gained else float(peer([[50, lost], [gained, 7]], exact=True).pvalue)
    assert mcnemar(lost, gained).exact == pytest.approx(min(1.0, theirs), abs=1e-12)


def test_mid_p_counts_half_of_what_was_seen() -> None:
    rng = np.random.default_rng(0)
    draws = rng.binomial(14, 0.5, 2_000_000)
    brute = 2 * (np.mean(draws < 3) + 0.5 * np.mean(draws == 3))
    assert mcnemar(3, 11).mid == pytest.approx(brute, abs=1e-3)


def _score(delta: float, gained: int, lost: int, samples: int) -> float:
    """The score statistic with the constrained maximum of the likelihood found numerically."""

    def minus_likelihood(q: float) -> float:
        p = q + delta
        rest = 1 - p - q
        if min(p, q, rest) <= 0:
            return 1e12
        return -(gained * np.log(p) + lost * np.log(q) + (samples - gained - lost) * np.log(rest))

    low, high = max(0.0, -delta), (1 - delta) / 2
    q = float(minimize_scalar(minus_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x)
    return float((gained - lost - samples * delta) / np.sqrt(samples * (2 * q + delta * (1 - delta))))


@pytest.mark.parametrize(("lost", "gained", "samples"), [(3, 11, 100), (9, 4, 40), (1, 2, 600), (30, 12, 1000)])
def test_the_score_interval_ends_where_the_likelihood_says(lost: int, gained: int, samples: int) -> None:
    low, high = (float(end) for end in score_interval(lost, gained, samples))
    z = norm.ppf(0.975)
    assert _score(low, gained, lost, samples) == pytest.approx(z, abs=2e-3)
    assert _score(high, gained, lost, samples) == pytest.approx(-z, abs=2e-3)


def test_no_change_at_all_still_leaves_an_interval() -> None:
    low, high = (float(end) for end in score_interval(0, 0, 600))
    assert -0.0065 < low < -0.006 and 0.006 < high < 0.0065


@pytest.mark.parametrize(("p_lost", "p_gained", "samples"), [(0.03, 0.02, 600), (0.1, 0.05, 300), (0.02, 0.02, 1000), (0.3, 0.1, 100)])
def test_the_score_interval_covers_95_percent(p_lost: float, p_gained: float, samples: int) -> None:
    draws = np.random.default_rng(1).multinomial(samples, [p_lost, p_gained, 1 - p_lost - p_gained], 40_000)
    low, high = score_interval(draws[:, 0], draws[:, 1], samples)
    covered = float(np.mean((low <= p_gained - p_lost) & (p_gained - p_lost <= high)))
    assert covered == pytest.approx(0.95, abs=0.015)


@pytest.mark.slow
def test_the_bootstrap_interval_covers_95_percent() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for trial in range(2000):
        differences = rng.exponential(1.0, 300) - 1.2 * rng.exponential(1.0, 300)
        low, high = mean_interval(differences, resamples=1000, seed=trial)
        covered += low <= -0.2 <= high
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)


def test_the_bootstrap_is_that_of_scipy() -> None:
    x = np.random.default_rng(3).gamma(2.0, 1.0, 80)
    theirs = bootstrap((x,), np.mean, n_resamples=20_000, method="BCa", random_state=4).confidence_interval
    mine = mean_interval(x, resamples=20_000)
    assert mine[0] == pytest.approx(theirs.low, abs=0.01) and mine[1] == pytest.approx(theirs.high, abs=0.01)
    general = bootstrap_interval(lambda index: float(x[index].mean()), len(x), resamples=5000)
    assert general[0] == pytest.approx(theirs.low, abs=0.03) and general[1] == pytest.approx(theirs.high, abs=0.03)


def test_groups_that_go_together_widen_the_interval() -> None:
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(20), 50)
    differences = rng.normal(0, 1, 20)[groups] + rng.normal(0, 0.1, 1000)
    alone, together = mean_interval(differences), mean_interval(differences, groups=groups.astype(str))
    assert together[1] - together[0] > 4 * (alone[1] - alone[0])
    general = bootstrap_interval(lambda index: float(differences[index].mean()), 1000, groups=groups, resamples=1500)
    assert general[1] - general[0] == pytest.approx(together[1] - together[0], rel=0.15)


def _answers(lost: int, gained: int, both: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    before = np.zeros(samples, bool)
    after = np.zeros(samples, bool)
    before[: lost + both] = True
    after[lost : lost + both + gained] = True
    return before, after


def test_verdicts() -> None:
    assert judge(*_answers(40, 5, 900, 1000)).decision == "significant loss"
    assert judge(*_answers(5, 40, 900, 1000)).decision == "significant gain"
    healthy = judge(*_answers(4, 5, 9000, 10_000))
    assert healthy.decision == "no significant loss" and healthy.text.startswith("no significant loss at 95 % (at most 0.0")
    unsure = judge(*_answers(4, 2, 90, 100))
    assert unsure.decision == "undecided" and unsure.more and unsure.text == f"undecided: {unsure.more:,} more samples would tell"
    with pytest.raises(DataError, match="cannot be paired"):
        judge(np.ones(3, bool), np.ones(4, bool))


@pytest.mark.parametrize(("lost", "gained", "samples"), [(12, 5, 400), (30, 18, 1000), (8, 8, 500), (3, 4, 200)])
def test_so_many_samples_do_tell_four_times_of_five(lost: int, gained: int, samples: int) -> None:
    needed = samples_needed(lost, gained, samples)
    rates = np.asarray([lost, gained]) / samples
    rates *= (lost + gained + 1) / (samples + 2) / rates.sum()
    rates[0] += ((lost - gained) / samples - (rates[0] - rates[1])) / 2
    rates[1] = rates[0] - (lost - gained) / samples
    draws = np.random.default_rng(6).multinomial(needed, [*rates, 1 - rates.sum()], 2000)
    low, _ = score_interval(draws[:, 0], draws[:, 1], needed)
    told = np.asarray([mcnemar(int(a), int(b)).mid < 0.05 for a, b, _ in draws]) | (-low <= 0.01)
    assert 0.74 <= told.mean() <= 0.93
