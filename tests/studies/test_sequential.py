"""The test for a drop: its evidence against SciPy's densities, its stops, its error rates."""

import contextlib
import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from benchmarks import gate_characteristics, simulated_gates
from lstm_mnist.studies import calibration, sequential
from lstm_mnist.studies.calibration import Baseline
from lstm_mnist.studies.gate import (
    GOING_ON,
    IMPROVED,
    PASSED,
    REGRESSION,
    STATES,
    UNDECIDED,
    Plan,
)
from lstm_mnist.system.errors import UsageError

BASELINE, PLAN = Baseline(size=40, mean=98.5, sd=0.1), Plan()


def state(*accuracies: float, plan: Plan = PLAN) -> str:
    return sequential.standing(accuracies, BASELINE, plan).state


def test_evidence_is_a_ratio_of_densities() -> None:
    accuracies = np.array([98.41, 98.52, 98.2])
    scale = BASELINE.sd**2 * (np.eye(3) + 1 / BASELINE.size)

    def log_density(shift: float) -> float:
        location = np.full(3, BASELINE.mean + shift)
        return stats.multivariate_t(location, scale, df=39).logpdf(accuracies)

    def log_ratio(shift: float) -> float:
        return log_density(shift) - log_density(0)

    found = sequential.standing(accuracies.tolist(), BASELINE, PLAN)
    assert found.drop == pytest.approx(log_ratio(-0.2))
    halves = [0.5 ** (k + 1) for k in range(10)]
    for told, sign in ((found.drops, -1), (found.rises, 1)):
        ratios = [log_ratio(sign * 0.2 * 2**k) for k in range(10)]
        assert told == pytest.approx(special.logsumexp(ratios, b=halves))
    assert found.difference == pytest.approx(accuracies.mean() - 98.5)
    error = 0.1 * math.sqrt(1 / 3 + 1 / 40)
    assert found.margin == pytest.approx(stats.t.ppf(0.975, 39) * error)


def test_what_it_says_and_when() -> None:
    assert state(98.52) == PASSED
    assert state(98.4) == GOING_ON
    assert state(98.4, 98.6) == PASSED
    assert state(98.3, 98.25) == GOING_ON
    assert state(98.3, 98.25, 98.25) == REGRESSION
    # However large the drop is.
    for accuracy in (97.0, 90.0, 10.0, 0.0):
        assert state(accuracy, accuracy) == REGRESSION
    # One unlucky run does not fail alone.
    assert state(97.0) == GOING_ON
    # A rise is followed until it is shown, or not.
    assert state(98.75) == GOING_ON
    assert state(98.75, 98.75, 98.75) == IMPROVED
    assert state(98.75, 98.4) == PASSED


@pytest.mark.parametrize("accuracy", [0.13, 9.8, 70.0, 86.0, 97.0])
@pytest.mark.parametrize(
    "plan",
    [Plan(), Plan(drop=0.51), Plan(drop=1), Plan(drop=1.5), Plan(power=0.5), Plan(false_alarm=0.5)],
    ids=str,
)
def test_collapse_never_passes(plan: Plan, accuracy: float) -> None:
    """However far the runs lie below the drop asked for, by whatever plan."""
    states = [state(*[accuracy] * count, plan=plan) for count in (1, 2)]
    assert states == [GOING_ON, REGRESSION]


@pytest.mark.parametrize("change", [-2.0, -20.0, -85.0])
@pytest.mark.parametrize("plan", [Plan(drop=0.3), Plan(drop=0.7), Plan(drop=1), Plan(power=0.5)])
def test_no_gate_of_a_collapsed_program_passes(plan: Plan, change: float) -> None:
    found = simulated_gates.simulate(BASELINE, plan, change, gates=2000)
    assert found.rates[REGRESSION] == 1


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"power": 1.0}, "must be"),
        ({"drop": math.nan}, "must be"),
        ({"drop": None}, "is not a number"),
        ({"max_runs": 1}, "must be"),
        ({"max_runs": 2.5}, "is not int"),
    ],
)
def test_plan_that_is_none(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(settings))}=.* {fault}"):
        Plan(**settings)


def test_undecided_at_the_end() -> None:
    plan = Plan(max_runs=3)
    assert state(98.4, 98.4, plan=plan) == GOING_ON
    assert state(98.4, 98.4, 98.4, plan=plan) == UNDECIDED
    assert sequential.standing([98.4, 98.4], BASELINE, plan).most == 1


def test_what_is_not_a_number_does_not_pass() -> None:
    nothing = np.array(math.nan)
    evidence = sequential.Evidence(nothing, nothing, nothing, nothing)
    stops = sequential.bounds(PLAN, BASELINE.sd)
    states = [STATES[sequential.decide(evidence, stops, count, 2)] for count in (1, 2)]
    assert states == [GOING_ON, UNDECIDED]


def test_how_many_runs_may_follow() -> None:
    found = sequential.standing([98.3], BASELINE, PLAN)
    assert (found.most, found.state) == (31, GOING_ON)
    # Each run of an unchanged program adds -2 on average, (0.2 / 0.1)^2 / 2, and overshoots by 1.
    assert found.further == math.ceil((found.drop - math.log(0.05) - 1) / 2)
    assert sequential.standing([98.6], BASELINE, PLAN).further == 0


def test_drop_that_cannot_be_told() -> None:
    sequential.check(BASELINE, PLAN)
    with pytest.raises(UsageError, match=r"decide about drops of 0\.17 or more"):
        sequential.check(BASELINE, Plan(drop=0.16))
    with pytest.raises(UsageError, match=r"standard deviation of 11\.000"):
        sequential.check(BASELINE._replace(sd=11.0), PLAN)


@pytest.mark.parametrize("count", [10, 40])
def test_errors_are_no_more_than_asked_for(count: int) -> None:
    baseline = BASELINE._replace(size=count)
    plan = Plan(false_alarm=0.01, power=0.9)
    unchanged = simulated_gates.simulate(baseline, plan, 0.0, gates=40_000)
    assert sum(unchanged.rates.values()) == pytest.approx(1)
    assert unchanged.rates[REGRESSION] + unchanged.rates[UNDECIDED] <= plan.false_alarm
    dropped = simulated_gates.simulate(baseline, plan, -plan.drop, gates=20_000)
    assert dropped.rates[REGRESSION] + dropped.rates[UNDECIDED] >= plan.power


@pytest.mark.parametrize("max_runs", [4, 31])
def test_hardly_any_unchanged_program_ends_undecided(max_runs: int) -> None:
    """Not by the smallest drop that `check` lets pass."""
    drop = 0.01
    while True:
        plan = Plan(false_alarm=0.01, drop=drop, max_runs=max_runs)
        with contextlib.suppress(UsageError):
            sequential.check(BASELINE, plan)
            break
        drop += 0.005
    rates = simulated_gates.simulate(BASELINE, plan, 0.0, gates=20_000).rates
    assert rates[REGRESSION] + rates[UNDECIDED] <= 1.5 * plan.false_alarm


def test_loss_in_some_runs_is_often_passed() -> None:
    baseline = calibration.read(calibration.COMMITTED).baseline
    rates = simulated_gates.simulate(baseline, Plan(), -20.0, share=0.3, gates=20_000).rates
    assert round(rates[PASSED], 1) == 0.6  # as docs/gate.md says
    none = simulated_gates.simulate(BASELINE, PLAN, -20.0, share=0.0, gates=2_000).rates
    assert none == simulated_gates.simulate(BASELINE, PLAN, 0.0, gates=2_000).rates


def test_simulated_gates_end_as_single_ones() -> None:
    random = np.random.default_rng(0)
    states, runs = simulated_gates._gates(random, BASELINE, PLAN, -0.1, 1.0, 20, False)
    random = np.random.default_rng(0)
    calibrated = random.normal(scale=0.1, size=(20, 40))
    accuracies = random.normal(scale=0.1, size=(20, PLAN.max_runs)) - 0.1
    for gate in range(20):
        own = Baseline(40, calibrated[gate].mean(), calibrated[gate].std(ddof=1))
        for count in range(1, PLAN.max_runs + 1):
            found = sequential.standing(accuracies[gate, :count].tolist(), own, PLAN)
            if found.state != GOING_ON:
                break
        assert (found.state, found.count) == (STATES[states[gate]], runs[gate])


def test_committed_characteristics_are_those_of_the_committed_calibration() -> None:
    told = json.loads(gate_characteristics.PATH.read_text(encoding="utf-8"))
    baseline = calibration.read(calibration.COMMITTED).baseline
    assert (told["plan"], told["sd"]) == (vars(Plan()), baseline.sd)
    row = told["rows"][0]
    again = simulated_gates.simulate(baseline, Plan(), row["change"], gates=told["gates"])
    assert {**row, **again._asdict()} == row
    for row in told["rows"]:
        if row["skewed"] or row["calibrated"] != baseline.size or row["share"] < 1:
            continue
        fails = row["rates"][REGRESSION] + row["rates"][UNDECIDED]
        if row["change"] == 0:
            assert fails <= 0.001
        if row["change"] <= -0.2:
            assert fails >= 0.95
