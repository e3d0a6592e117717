import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ROOT
from made import made_run
from scipy import stats

from lstm_mnist import config
from lstm_mnist.studies import protocol, records, reference, statistics
from lstm_mnist.system.errors import DataError

RECORDED = reference.recorded_curves("test")
Curves = list[list[float]]


def compared(ours: Curves, theirs: Curves = RECORDED) -> statistics.Comparison:
    return statistics.compare(statistics.measures(ours), statistics.measures(theirs))


def shifted(points: float, epochs: slice) -> Curves:
    """The recorded runs, four times over, with some of their accuracies moved."""
    made = [[*curve] for curve in RECORDED * 4]
    for curve in made:
        curve[epochs] = [accuracy + points for accuracy in curve[epochs]]
    return made


def test_19_of_the_recorded_runs_have_collapsed() -> None:
    assert sum(map(reference.collapsed, RECORDED)) == 19


def test_original_beside_the_recordings_of_either_processor() -> None:
    """What docs/protocol.md says of them among its changes."""
    recorded = json.loads((ROOT / "lstm_mnist/traces/recorded_runs.json").read_text())["runs"]
    with_avx512, without = (
        [[test for _, test in run["curve"]] for run in recorded if run["seed"] in seeds]
        for seeds in (range(10), range(10, 30))
    )
    ours = [run.test_curve for run in records.read([ROOT / "lstm_mnist/results/original.json"])]
    assert compared(ours, with_avx512).word == compared(ours, without).word == "REPRODUCED"
    assert statistics.measures(with_avx512).fallen == 9
    assert statistics.measures(without).fallen == 13
    assert round(compared(with_avx512, without).p["first fall"], 3) == 0.022
    assert round(compared(ours, with_avx512).p["first fall"], 3) == 0.042
    assert round(compared(ours, with_avx512).corrected["first fall"], 2) == 0.13
    assert round(compared(ours, without).p["first fall"], 2) == 0.92
    # Those of which no earlier run was known.
    new = compared(ours, [curve for seed, curve in enumerate(RECORDED) if seed not in range(1, 6)])
    assert (new.word, new.others) == ("REPRODUCED", 25)
    assert [round(end, 2) for end in new.equivalence_interval] == [-0.02, 0.05]
    assert round(new.others * (24 / 40 - new.falls)) == 18


@pytest.mark.parametrize(
    ("curve", "epoch"),
    [
        ([98.0, 96.0, 99.0], 2),
        ([98.0, 96.01, 99.0, 97.0], 4),
        ([97.0, 98.5, 96.51, 98.0], None),
        ([98.5, 98.0, 97.5, 97.0, 96.5, 96.0], 5),  # below the highest, not the last
        ([90.0], None),
        ([9.8, 9.8], 1),  # diverged in the first epoch
        ([65.99, 63.99], 2),  # 1.9999999999999929 in floating point
    ],
)
def test_first_fall(curve: list[float], epoch: int | None) -> None:
    assert statistics.first_fall(curve) == epoch


def test_early_mean_is_of_epochs_3_to_12() -> None:
    curve = [0.0, 0.0, *range(90, 100), 0.0]
    assert statistics.early(curve) == np.mean(range(90, 100)) == 94.5


def test_intervals_are_those_of_the_textbook() -> None:
    # Wilson (1927) by its formula, z = 1.959964; Clopper-Pearson for 0 of n: 1 - 0.025^(1/n).
    p, n, z = 0.9827, 10_000, 1.959964
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    assert statistics.wilson(98.27, n) == pytest.approx(
        (100 * (centre - half), 100 * (centre + half))
    )
    low, high = statistics.rate(0, 20).interval
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_newcombe_is_that_of_the_paper() -> None:
    # Newcombe 1998, table II: 56 of 70 against 48 of 80, and 9 of 10 against 3 of 10, method 10.
    for one, other, expected in (
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
    ):
        found = statistics.newcombe(statistics.rate(*one), statistics.rate(*other))
        assert found == pytest.approx(expected, abs=1e-4)


def test_holm_by_hand() -> None:
    corrected = statistics.holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert corrected == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert statistics.holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}


def test_probability_of_ending_above_is_that_of_mann_whitney() -> None:
    ours, theirs = np.array([3.0, 1.0, 2.0]), np.array([2.0, 0.0])
    pairs = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(ours, theirs)]
    assert statistics.share_above(ours, theirs) == np.mean(pairs)
    u = stats.mannwhitneyu(ours, theirs).statistic
    assert statistics.share_above(ours, theirs) == u / 6
    # As many resamples as a bootstrap makes, at once.
    many = statistics.share_above(np.stack([ours, -ours]), np.stack([theirs, theirs]))
    assert many.tolist() == [np.mean(pairs), 0.0]


def test_original_against_itself_is_reproduced() -> None:
    result = compared(shifted(0, slice(None)))
    assert result.word == "REPRODUCED"
    assert result.difference == 0
    assert result.falls == pytest.approx(0)
    assert result.above == 0.5
    assert result.differing == {}
    low, high = result.falls_interval
    assert low < 0 < high
    assert result.above_interval.low < 0.5 < result.above_interval.high


EARLY, LATE = slice(2, 12), slice(12, 30)


@pytest.mark.parametrize(
    ("ours", "word", "differing"),
    [
        (shifted(-0.5, EARLY), "LOWER", {"early mean": -1}),
        (shifted(+0.5, EARLY), "HIGHER", {"early mean": 1}),
        # As good early on and at the end, but no run falls before the last epoch.
        (
            [[*curve[:12], *[98.2] * 17, curve[-1]] for curve in RECORDED * 4],
            "HIGHER",
            {"first fall": 1},
        ),
        # As good early on, but all fall at once.
        (shifted(-60, LATE), "LOWER", {"first fall": -1, "final": -1}),
        # Better early on, and all fall: what differs points in opposite ways.
        (
            [[accuracy + 0.4 for accuracy in curve[:12]] + [30.0] * 18 for curve in RECORDED * 4],
            "DIFFERENT",
            {"early mean": 1, "first fall": -1, "final": -1},
        ),
        # Two runs, far apart.
        ([[98.9] * 29 + [97.9], [97.4] * 29 + [96.0]], "INCONCLUSIVE", {}),
    ],
)
def test_the_word_comes_from_what_differs(
    ours: Curves, word: str, differing: dict[str, int]
) -> None:
    result = compared(ours)
    assert (result.word, result.differing) == (word, differing)


def test_certain_but_small_difference_is_equivalent() -> None:
    """What is within the margin is no difference, however small its p-value."""
    flat = [[98.0 + 0.01 * (number % 2)] * 30 for number in range(40)]
    ours = [[accuracy + 0.05 for accuracy in curve] for curve in flat]
    theirs = [[*curve[:-1], ours[0][-1] + 0.0] for curve in flat]
    result = compared([[*curve[:-1], theirs[0][-1]] for curve in ours], theirs)
    assert result.p["early mean"] < 1e-9
    assert (result.equivalent, result.word) == (True, "REPRODUCED")


def test_runs_that_diverge_at_once_are_compared() -> None:
    result = compared([[9.8] * 30] * 3)
    assert result.word == "LOWER"
    assert result.difference < -80


def test_without_falls_there_is_nothing_to_test() -> None:
    result = compared([[98.0, 98.1] * 15, [98.2, 98.1] * 15], [[98.0, 98.2] * 15] * 3)
    assert (result.sooner, result.p["first fall"]) == (0, 1)
    assert math.isfinite(result.above_interval.low)


def test_log_rank_is_that_of_lifelines() -> None:
    """Freireich's leukaemia trial, whose log-rank statistic is 16.79 in every textbook."""
    placebo = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
    treated = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    censored = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]

    def group(fell: list[int], stood: list[int]) -> statistics.Measures:
        count = len(fell) + len(stood)
        falls = stats.CensoredData(uncensored=fell, right=stood)
        return statistics.Measures(
            np.arange(count) / 100, falls, len(fell), np.linspace(98, 99, count)
        )

    result = statistics.compare(group(placebo, []), group(treated, censored), resamples=0)
    assert result.sooner**2 == pytest.approx(16.79, abs=0.01)
    assert result.signs["first fall"] == -1
    assert math.isnan(result.above_interval.low)


@pytest.mark.parametrize("accuracy", [math.nan, math.inf])
def test_accuracy_that_is_not_finite_is_not_measured(accuracy: float) -> None:
    for epoch in (4, 29):
        curves = [[*curve] for curve in RECORDED]
        curves[3][epoch] = accuracy
        with pytest.raises(ValueError, match="an accuracy is not finite"):
            statistics.measures(curves)


@pytest.mark.parametrize(("other", "p"), [(98.0, 1), (97.0, 0)])
def test_runs_without_any_spread(other: float, p: float) -> None:
    found = compared([[98.0] * 30] * 5, [[other] * 30] * 5)
    assert found.p["early mean"] == p
    assert found.word == ("HIGHER" if p == 0 else "REPRODUCED")


def test_recorded_runs_are_read_in_order_of_seed() -> None:
    runs = {run["seed"]: run["curve"] for run in recorded_file()["runs"]}
    assert [[both[1] for both in runs[seed]] for seed in range(30)] == RECORDED


def recorded_file() -> Any:
    return json.loads((ROOT / "lstm_mnist/traces/recorded_runs.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda runs: runs.pop(), "its seeds are not each of 0 to 29 once"),
        (lambda runs: runs.append(runs[0]), "its seeds are not each of 0 to 29 once"),
        (lambda runs: runs[1].update(seed=runs[0]["seed"]), "its seeds are not each of 0 to 29"),
        (lambda runs: runs[1].update(curve=runs[0]["curve"]), "came to the same as an earlier one"),
        (lambda runs: runs[4]["curve"].pop(), "29 of 30 epochs"),
        (lambda runs: runs[4]["curve"][7].pop(), "has 1 items, not 2"),
        (lambda runs: runs[4]["curve"][7].__setitem__(1, math.nan), "NaN is not a finite number"),
        (lambda runs: runs[4]["curve"][7].__setitem__(1, 0.9783), "epoch 8: no test accuracy"),
        (lambda runs: runs[4]["curve"][7].__setitem__(0, 98.0001), "epoch 8: no train accuracy"),
        (lambda runs: runs[4]["curve"][7].__setitem__(1, 100.01), "epoch 8: no test accuracy"),
    ],
)
def test_recorded_runs_that_are_not_whole(
    change: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = recorded_file()
    change(content["runs"])
    (tmp_path / "runs.json").write_text(json.dumps(content))
    monkeypatch.setattr(reference, "_RECORDINGS", tmp_path / "runs.json")
    with pytest.raises(DataError, match=f"does not hold the recorded runs: .*{message}"):
        reference.recorded_curves("test")


def planned(variant: str, count: int, **changes: Any) -> list[records.Record]:
    configs = [config.variant(variant, seed=seed, **changes) for seed in range(count)]
    return [
        dataclasses.replace(made_run(variant, each.seed, [98.0]), config=each) for each in configs
    ]


def made_by(
    runs: list[records.Record], arithmetic: str = "compiled-1", **other: Any
) -> list[records.Record]:
    """The runs, of which those after the first were made by another program."""
    first, *rest = (dataclasses.replace(run, arithmetic=arithmetic) for run in runs)
    assert first.git
    git = {name: other.pop(name, value) for name, value in first.git.items()}
    return [first, *(dataclasses.replace(run, git=git, **other) for run in rest)]


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        (planned("original", 40), []),
        (planned("original", 39), ["39 runs where 40 are planned"]),
        (planned("original", 41), ["41 runs where 40 are planned"]),
        (planned("original", 40)[1:], ["39 runs where 40", "seeds that are not contiguous"]),
        (planned("document", 21)[1:], ["seeds that are not contiguous from 0"]),
        (planned("document", 20, epochs=90), ["90 epochs where 30 are planned"]),
        (planned("document", 20, units=9), ["no study of these settings"]),
        (planned("document_clipped", 10), ["no study of these settings"]),
        (planned("original", 40, layers=2), ["no study of these settings"]),
        (made_by(planned("document", 20)), []),
        (
            made_by(planned("document", 20), "keras-1"),
            ["arithmetic keras-1 where compiled-1 is planned"],
        ),
        (made_by(planned("document", 20), commit="1" * 40), ["runs by several commits"]),
        (
            made_by(planned("document", 20), program_sha256="1" * 64),
            ["runs by several commits"],
        ),
        (
            made_by(planned("document", 20), versions={"python": "3.12.0"}),
            ["runs by several commits of this program, or versions of packages"],
        ),
        (
            [dataclasses.replace(run, git=None) for run in planned("document", 20)],
            ["runs by a program whose commit is not known"],
        ),
        (
            made_by(planned("document", 20), changed=True),
            ["runs by several commits", "runs by a checkout with changes"],
        ),
    ],
)
def test_departures_from_the_plan(runs: list[records.Record], told: list[str]) -> None:
    found = [phrase.format(**values) for phrase, values in protocol.departures(runs)]
    assert len(found) == len(told)
    for ours, expected in zip(found, told, strict=True):
        assert expected in ours


def test_plan_is_that_of_the_page() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    for name, count in protocol.RUNS.items():
        assert f"| `{name}` | {count} | " in page
        assert f"compare --runs={count} --variants={name} " in page
    assert f"| recorded original | {protocol.RECORDED} | " in page
    assert "over its epochs {} to {}".format(*protocol.EARLY) in page
    assert f"margin **{protocol.MARGIN} points**" in page
    assert f"is {protocol.FALL:g} points or more below the highest of the epochs before" in page


def test_false_alarm_of_a_median() -> None:
    assert statistics.false_alarm(0.3, runs=1) == pytest.approx(0.3)
    # Two or three of three miss: 3 * 0.3^2 * 0.7 + 0.3^3.
    assert statistics.false_alarm(0.3, runs=3) == pytest.approx(0.216)
    assert statistics.false_alarm(0, runs=5) == 0
