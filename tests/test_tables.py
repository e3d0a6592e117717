"""The tables of docs/results.md, computed again from the JSON files by NumPy and SciPy alone.

Nothing of the package is imported here, so that a mistake in its statistics does not confirm
itself.
"""

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from textbook import Array, above, exact, falls, holm, logrank, newcombe, welch, wilson

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
# A network whose logits are not numbers names every image 0.
ZEROS = {"train": 5_444, "validation": 479, "test": 980}
TOTALS = {"train": 55_000, "validation": 5_000, "test": 10_000}
REPORTED = {"train": 98.51, "test": 98.27}

Curves = dict[str, Array]  # [runs, epochs] in percent by split


def rows(name: str, page: str = PAGE) -> list[list[str]]:
    """Return the cells of a table of the page, without its head."""
    found = re.search(rf"study`: {name}\. -->\n(.*?)<!-- End", page, re.DOTALL)
    assert found, name
    lines = [line for line in found[1].splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def study(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    columns = content["epoch_columns"]
    for run in content["runs"]:
        rest = run["config"]["epochs"] - len(run["epochs"])
        run["curves"] = {
            split: [
                100 * count / TOTALS[split]
                for count in [
                    *(epoch[columns.index(split)] for epoch in run["epochs"]),
                    *[ZEROS[split]] * rest,
                ]
            ]
            for split in TOTALS
        }
        if "dynamics" in run:
            named = zip(
                content["dynamics_columns"], zip(*run["dynamics"], strict=True), strict=True
            )
            run["dynamics"] = dict(named)
    return sorted(content["runs"], key=lambda run: run["config"]["seed"])


def curves(runs: list[dict[str, Any]]) -> Curves:
    return {split: np.array([run["curves"][split] for run in runs]) for split in TOTALS}


def dynamics(runs: list[dict[str, Any]], *names: str) -> list[Array]:
    """Return each of the named quantities as an array of runs and epochs."""
    return [np.array([run["dynamics"][name] for run in runs]) for name in names]


def extremes(values: Array) -> list[float]:
    return [values.min(), values.max()]


def first_above_1(gains: Array) -> Array:
    """Return the epoch in which the gain of each run first exceeds 1, as it does in all of them."""
    assert (gains > 1).any(axis=1).all()
    return np.argmax(gains > 1, axis=1) + 1


def deficits(accuracies: Array) -> Array:
    """Return by how much each accuracy lies below the highest of its run so far."""
    return np.maximum.accumulate(accuracies, axis=1) - accuracies


def studied(name: str) -> Curves:
    return curves(study(ROOT / "lstm_mnist" / "results" / f"{name}.json"))


def recorded() -> Curves:
    path = ROOT / "lstm_mnist" / "traces" / "recorded_runs.json"
    both = np.array([run["curve"] for run in json.loads(path.read_text())["runs"]])
    return {"train": both[..., 0], "test": both[..., 1]}


def group(label: str) -> Curves:
    return recorded() if label.startswith("recorded") else studied(label.split("`")[1])


def shown(cell: str, *expected: float, within: float = 0.0) -> None:
    """Check a cell's numbers against what is expected, to the digits that it has."""
    found = re.findall(r"[-+]?\d+(?:\.\d+)?", cell)
    assert len(found) >= len(expected), cell
    for text, value in zip(found, expected, strict=False):
        digits = len(text.partition(".")[2])
        assert float(text) == pytest.approx(value, abs=0.5 * 10**-digits + 1e-9 + within), cell


def shown_p(cell: str, p: float) -> None:
    if p < 1e-4:
        assert cell == "below 1e-4"
    else:
        assert float(cell) == pytest.approx(p, rel=0.051)


def check_measures(cells: list[str], ours: Curves, theirs: Curves) -> str:
    """Check the cells of a comparison, and return the verdict's word."""
    early = [side["test"][:, 2:12].mean(axis=1) for side in (ours, theirs)]
    ends = [side["test"][:, -1] for side in (ours, theirs)]
    more, falls_p = logrank(ours["test"], theirs["test"])
    difference, low, high, early_p = welch(early[0], early[1], 0.95)
    p = [early_p, falls_p, float(stats.mannwhitneyu(*ends).pvalue)]
    shown(cells[0], difference, low, high)
    shown(cells[2], *newcombe(*(falls(side["test"])[1] for side in (ours, theirs))))
    shares = above(*ends)
    shown(cells[4], shares[0])
    shown(cells[4], *shares, within=3.5)  # two bootstraps are not one
    corrected = holm(p)
    for cell, value in zip(cells[1::2], corrected, strict=False):
        shown_p(cell, value)
    _, low, high, _ = welch(early[0], early[1], 0.90)
    equivalent = low > -0.1 and high < 0.1
    signs = np.sign([difference, -more, shares[0] - 50])
    differing = {
        sign
        for index, (sign, value) in enumerate(zip(signs, corrected, strict=True))
        if value < 0.05 and not (index == 0 and equivalent)
    }
    if len(differing) == 2:
        return "DIFFERENT"
    if differing:
        return "HIGHER" if 1 in differing else "LOWER"
    return "REPRODUCED" if equivalent else "INCONCLUSIVE"


def test_table_of_variants() -> None:
    found = rows("variants")
    assert found[0][0].startswith("recorded original")
    for label, *cells in found:
        test = group(label)["test"]
        early, ends = test[:, 2:12].mean(axis=1), test[:, -1]
        _, fell = falls(test)
        assert int(label.rpartition(" ")[2]) == len(test)
        for cell, value in zip(
            cells,
            (
                early.mean(),
                early.std(ddof=1),
                ends.mean(),
                ends.std(ddof=1),
                np.median(ends),
                ends.min(),
                ends.max(),
            ),
            strict=False,
        ):
            shown(cell, value)
        low, high = exact(fell.sum(), len(fell))
        shown(cells[7], fell.sum(), 100 * fell.mean(), low, high)
        assert int(cells[8]) == np.sum(ends <= test.max(axis=1) - 2)


def test_table_of_verdicts() -> None:
    found = rows("verdicts")
    assert found
    theirs = recorded()
    assert len(theirs["test"]) == 30
    for label, *cells in found:
        ours = group(label)
        assert cells[6:] == [check_measures(cells, ours, theirs), ""]
        name = label.split("`")[1]
        runs = study(ROOT / f"lstm_mnist/results/{name}.json")
        commits = [run["git"] for run in runs]
        assert all(commit == commits[0] for commit in commits)
        assert commits[0]["changed"] is False
        assert [run["config"]["seed"] for run in runs] == [*range(PLAN[name])]


# As docs/protocol.md has it.
PLAN = {
    name: int(count)
    for name, count in re.findall(
        r"^\| `(\w+)` \| (\d+) \|", (ROOT / "docs/protocol.md").read_text(), re.MULTILINE
    )
}


def test_durations_of_the_protocol() -> None:
    told = re.findall(r"--save=(\S+\.json).* \| (\S+) h \|$", PROTOCOL, re.MULTILINE)
    assert len(told) == 9
    for path, hours in told:
        files = ROOT.glob(path.replace("$variant", "*"))
        seconds = sum(run["seconds"] for each in files for run in study(each))
        shown(hours, seconds / 2 / 3600)


def test_no_row_is_missing() -> None:
    def named(name: str) -> set[str]:
        return {row[0].split("`")[1] for row in rows(name) if "`" in row[0]}

    files = {path.stem for path in (ROOT / "lstm_mnist" / "results").glob("*.json")} - {"gate"}
    studies = {name for name in files if "-" not in name}  # of the script's network
    for name in ("variants", "verdicts", "pair"):
        assert named(name) == studies
    assert named("changes") == studies - {"original", "stable", "prose"}
    assert named("falls") == {*collapse()}
    assert len(rows("run")) > 20


def test_table_of_the_readme() -> None:
    found = rows("summary", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(found) == 4
    for label, *cells in found:
        test = group(label)["test"]
        ends, highest = test[:, -1], test.max(axis=1)
        shown(cells[0], float(np.median(ends)), ends.min(), ends.max())
        shown(cells[1], highest.min(), highest.max())
        shown(cells[2], (ends >= REPORTED["test"]).sum(), len(ends))
        shown(cells[3], (ends <= highest - 2).sum(), len(ends))


def test_table_of_changes() -> None:
    original = studied("original")
    for label, *cells in rows("changes"):
        check_measures(cells, group(label), original)


def test_table_of_the_reported_pair() -> None:
    ends = {
        split: wilson(round(REPORTED[split] / 100 * TOTALS[split]), TOTALS[split])
        for split in REPORTED
    }
    for label, *cells in rows("pair"):
        accuracies = group(label)
        finals = {split: curve[:, -1] for split, curve in accuracies.items()}
        count = len(finals["test"])
        within = np.all(
            [
                (100 * low <= accuracies[split]) & (accuracies[split] <= 100 * high)
                for split, (low, high) in ends.items()
            ],
            axis=0,
        )
        inside = within[:, -1]
        reached = [finals[split] >= REPORTED[split] for split in REPORTED]
        shown(cells[0], inside.sum(), count)
        shown(cells[1], 100 * inside.mean(), *exact(inside.sum(), count))
        for cell, values in zip(
            cells[2:], (within.any(axis=1), *reached, reached[0] & reached[1]), strict=True
        ):
            shown(cell, values.sum(), count)
        assert (finals["train"][reached[1]] > 99.0).all()


@functools.cache
def collapse() -> dict[str, list[dict[str, Any]]]:
    """Return the runs to 90 epochs by variant: all that are planned, and no others."""
    files = (ROOT / "benchmarks" / "results" / "collapse").glob("*.json")
    groups = {path.stem: study(path) for path in files}
    hard = {"original", "original_clipped", "original_cosine"}
    assert groups.keys() == hard | {"document", "document_clipped", "stable"}
    for name, runs in groups.items():
        found = [[run["config"][key] for key in ("variant", "seed", "epochs")] for run in runs]
        assert found == [[name, seed, 90] for seed in range(10)]
    return groups


def test_tables_of_falls() -> None:
    groups = collapse()
    for label, *cells in rows("falls"):
        accuracies = curves(groups[label.split("`")[1]])["test"]
        times, fell = falls(accuracies)
        for cell, epoch in zip(cells, (30, 60, 90), strict=False):
            by = int(np.sum(fell & (times <= epoch)))
            shown(cell, by, len(fell), 100 * by / len(fell), *exact(by, len(fell)))
        assert cells[3] == (", ".join(map(str, sorted(times[fell]))) or "none")
        ends = accuracies[:, -1]
        shown(cells[4], float(np.median(ends)), ends.min(), ends.max())
    found = rows("fall_tests")
    assert len(found) == 5
    sides = [
        [curves(groups[name])["test"] for name in label.split("`")[1::2]] for label, *_ in found
    ]
    p = [logrank(one, other)[1] for one, other in sides]
    for (_, *cells), (one, other), raw, corrected in zip(found, sides, p, holm(p), strict=True):
        shown(cells[1], *newcombe(falls(one)[1], falls(other)[1]))
        shown_p(cells[2], raw)
        shown_p(cells[3], corrected)
        assert corrected < 0.05


def test_first_30_of_90_epochs_are_those_of_the_study_of_30() -> None:
    groups = collapse()
    # document_clipped has no study of 30 epochs, and a cosine over 90 epochs is another one.
    for name in ("original", "document", "original_clipped"):
        shorter = study(ROOT / "lstm_mnist" / "results" / f"{name}.json")
        for long, short in zip(groups[name], shorter, strict=False):
            assert long["config"]["seed"] == short["config"]["seed"]
            assert long["epochs"][:30] == short["epochs"]


def test_table_of_the_shown_run_and_what_is_said_of_it() -> None:
    (run,) = (run for run in collapse()["original"] if run["config"]["seed"] == 2)
    path = ROOT / "benchmarks" / "results" / "collapse.csv"
    steps = np.loadtxt(path, delimiter=",", skiprows=1)
    # Every 25 of 550 steps; the columns are step, loss, gradient norm, mean and largest |c|.
    norm, mean, largest = np.moveaxis(steps.reshape(90, 22, 5), 2, 0)[2:]
    accuracy = np.array(run["curves"]["test"])
    gain, saturated = (values[0] for values in dynamics([run], "gain", "saturated"))
    for epoch, *cells in rows("run"):
        index = int(epoch) - 1
        expected = (
            accuracy[index],
            np.median(norm[index]),
            norm[index].max(),
            np.median(mean[index]),
            largest[index].max(),
            gain[index],
            saturated[index],
        )
        for cell, value in zip(cells, expected, strict=True):
            shown(cell, value)
    assert np.argmax(gain > 1) + 1 == 26
    assert norm[:26].max() < norm[26].max()
    assert (norm[26] > norm[:26].max()).sum() == 1
    assert falls(accuracy[None])[0] == [28]
    assert np.argmin(accuracy[:45]) + 1 == 30
    assert largest[26].max() > largest[:26].max() == pytest.approx(16.5, abs=0.05)
    assert largest[:30].max() == largest[28].max()
    assert accuracy[51:].max() == 96.49
    assert (gain[25:] > 1).all()
    assert np.argmax(accuracy[30:50]) + 31 == 45
    assert accuracy[50:].min() == accuracy[50] < accuracy[:50].min()
    assert np.argmax(accuracy) + 1 == 23
    jump = np.argmax(norm[50])
    for values, rise in ((mean, 0.3), (largest, 10)):
        assert np.argmax(np.diff(values[50]) > rise) + 1 == jump
    assert extremes(norm[50, jump - 3 : jump]) == pytest.approx([2.7, 4.9], abs=0.05)
    assert extremes(mean[50, jump - 3 : jump]) == pytest.approx([0.42, 0.44], abs=0.005)


def test_what_is_said_of_the_plain_runs_to_90_epochs() -> None:
    runs = collapse()["original"] + collapse()["document"]
    hard, soft = slice(10), slice(10, 20)
    accuracies = curves(runs)["test"]
    below = accuracies.max(axis=1) - accuracies[:, -1]
    near = below < 2
    assert (near[hard].sum(), near[soft].sum()) == (3, 4)
    assert [below[~near].min(), below.max()] == pytest.approx([2.4, 46.5], abs=0.05)
    times, fell = falls(accuracies)
    assert (fell[hard].all(), fell[soft].sum()) == (True, 8)
    assert extremes(times[hard]) == [20, 36]
    assert extremes(times[soft][fell[soft]]) == [40, 90]
    gains, saturated, norms = dynamics(runs, "gain", "saturated", "recurrent_norm")
    losses, gradients, all_norms = dynamics(runs, "loss", "gradient_norm", "weight_norm")
    mean_cells, largest_cells = dynamics(runs, "cell_mean", "cell_max")
    passed = first_above_1(gains)
    assert extremes(passed[hard]) == [20, 30]
    assert extremes(passed[soft]) == [37, 53]
    fallen = [(gain, time) for gain, time in zip(gains[fell], times[fell], strict=True)]
    assert all(gain[time - 1] > 1 for gain, time in fallen)
    assert max(gain[time - 2] for gain, time in fallen[:10]) == pytest.approx(1.92, abs=0.005)
    assert sum(gain[time - 2] <= 1.31 for gain, time in fallen) == 6
    standing = gains[soft][~fell[soft]].max(axis=1)
    assert sorted(standing) == pytest.approx([1.21, 1.95], abs=0.005)
    before = [gain[time - 2] for gain, time in fallen if gain[time - 2] < 1]
    assert before == pytest.approx([0.79, 0.98, 0.91], abs=0.005)
    assert (times - passed)[hard].max() == 11
    assert (times - passed)[soft][fell[soft]].max() == 49
    assert (np.diff(norms) > 0).all()
    at_passing = norms[np.arange(20), passed - 1].round()
    assert extremes(at_passing[hard]) == [173, 213]
    assert extremes(at_passing[soft]) == [236, 283]
    below_highest = deficits(accuracies)
    last = below_highest[np.arange(20), times - 2]
    assert extremes(last[fell]) == pytest.approx([0.5, 1.8], abs=0.05)
    for values, expected in (
        (gains, [(17, 18), (15, 16)]),
        (saturated, [(15, 18), (14, 16)]),
        (norms, [(15, 18), (11, 16)]),
        (all_norms, [(14, 18), (13, 16)]),
        (gradients, [(17, 18), (14, 16)]),
        (mean_cells, [(15, 18), (10, 16)]),
        (largest_cells, [(15, 18), (8, 16)]),
        (losses, [(18, 18), (13, 16)]),
        (below_highest, [(18, 18), (14, 16)]),
    ):
        assert [*larger_before_falls(values, times, fell)] == expected
    with_falls_of_the_same_epoch = [*larger_before_falls(gains, times, fell, before=True)]
    assert with_falls_of_the_same_epoch == [(17, 18), (16, 18)]


def test_what_is_said_of_clipped_runs_to_90_epochs() -> None:
    runs = collapse()["original_clipped"]
    accuracies = curves(runs)["test"]
    times, fell = falls(accuracies)
    assert fell.all()
    assert extremes(times) == [37, 79]
    later = times - falls(curves(collapse()["original"])["test"])[0]
    assert extremes(later) == [3, 47]
    below = deficits(accuracies)[:, -1]
    assert extremes(below) == pytest.approx([2.0, 46.3], abs=0.05)
    gains, norms = dynamics(runs, "gain", "recurrent_norm")
    passed = first_above_1(gains)
    assert extremes(passed) == [21, 33]
    assert extremes(times - passed) == [9, 48]
    own = np.arange(10)
    assert (gains[own, times - 1] > 1).all()
    before = gains[own, times - 2]
    assert extremes(before) == pytest.approx([1.54, 3.52], abs=0.005)
    assert (np.diff(norms) > 0).all()
    at_passing = norms[own, passed - 1].round()
    assert extremes(at_passing) == [184, 226]


@pytest.mark.parametrize(
    ("variant", "deepest", "last", "ends", "lower"),
    [
        ("original_cosine", 1.50, 0.15, [98.68, 98.83], [0.09, 0.31]),
        ("stable", 0.74, 0.08, [98.80, 98.98], [0.01, 0.30]),
    ],
)
def test_what_is_said_of_accuracies_to_90_epochs_with_a_decaying_rate(
    variant: str, deepest: float, last: float, ends: list[float], lower: list[float]
) -> None:
    accuracies = curves(collapse()[variant])["test"]
    _, fell = falls(accuracies)
    assert (len(fell), fell.any()) == (10, False)
    below = deficits(accuracies)
    assert below.max() == pytest.approx(deepest, abs=0.005)
    assert below[:, -1].max() == pytest.approx(last, abs=0.005)
    assert extremes(accuracies[:, -1]) == pytest.approx(ends, abs=0.005)
    shorter = studied(variant)["test"][:10, -1]
    assert extremes(shorter - accuracies[:, -1]) == pytest.approx(lower, abs=0.005)


def test_what_is_said_of_gains_with_hard_sigmoids_and_a_decaying_rate() -> None:
    runs = collapse()["original_cosine"]
    gains, norms = dynamics(runs, "gain", "recurrent_norm")
    passed = first_above_1(gains)
    assert extremes(passed) == [27, 64]
    assert gains.max() == pytest.approx(1.31, abs=0.005)
    assert (np.argmax(gains, axis=1) >= 81).sum() == 9
    assert (1 + np.cos(np.pi * 82 / 90)) / 2 < 0.02
    above_1 = (gains[:, :45] > 1).sum(axis=1)
    assert ((above_1 > 0).sum(), above_1[above_1 > 0].min(), above_1.max()) == (7, 1, 8)
    assert gains[:, :45].max() == pytest.approx(1.18, abs=0.005)
    at_passing = norms[np.arange(10), passed - 1].round()
    assert extremes(at_passing) == [184, 215]


def test_what_is_said_of_gains_with_sigmoids_and_a_decaying_rate() -> None:
    runs = collapse()["stable"]
    gains, norms = dynamics(runs, "gain", "recurrent_norm")
    above_1 = (gains > 1).any(axis=1)
    assert above_1.sum() == 2
    passed = first_above_1(gains[above_1])
    assert sorted(passed) == [70, 75]
    assert (1 + np.cos(np.pi * 70 / 90)) / 2 < 0.12
    assert gains.max() == pytest.approx(1.13, abs=0.005)
    assert sorted(norms[above_1, passed - 1].round()) == [216, 218]


def test_what_is_said_of_the_decaying_rate_with_either_gates() -> None:
    runs = collapse()["original_cosine"] + collapse()["stable"]
    right = curves(runs)["train"] == 100
    assert right[:, 66:].all()
    since = np.argmin(right[:, ::-1], axis=1)  # epochs, counted from the last one
    assert extremes(91 - since) == [54, 67]
    gains, norms = dynamics(runs, "gain", "recurrent_norm")
    assert extremes(norms[:, 59].round()) == [213, 219]
    assert (norms[:, 89] - norms[:, 59]).max() < 0.8
    assert (norms[:, 89] / norms[:, 59]).max() < 1.004
    growth = gains[:, 89] / gains[:, 59] - 1
    assert extremes(growth) == pytest.approx([0.03, 0.22], abs=0.005)


def test_what_is_said_beside_the_tests_of_falls() -> None:
    groups = {name: curves(runs)["test"] for name, runs in collapse().items()}
    for name, half in (("original", 32), ("original_clipped", 43), ("document", 56)):
        times, fell = falls(groups[name])
        assert sorted(times[fell])[4] == half
    deepest = {name: deficits(accuracies).max(axis=1) for name, accuracies in groups.items()}
    by_1 = {name: falls(accuracies, 1)[1].sum() for name, accuracies in groups.items()}
    assert (by_1["original_cosine"], by_1["stable"]) == (1, 0)
    assert (by_1["original"], by_1["document"], by_1["document_clipped"]) == (10, 10, 7)
    pair = [groups[name] for name in ("document", "document_clipped")]
    for points, expected in ((1.5, (50, 8, 75)), (1, (30, -4, 60))):
        difference = newcombe(*(falls(accuracies, points)[1] for accuracies in pair))
        assert difference == pytest.approx(expected, abs=0.5)
    assert deepest["stable"].max() < deepest["document_clipped"].min()
    assert groups["stable"][:, -1].min() > groups["document_clipped"][:, -1].max()


def test_what_is_said_of_runs_to_90_epochs_with_sigmoids_and_clipping() -> None:
    groups = collapse()
    runs = groups["document_clipped"]
    accuracies = curves(runs)["test"]
    times, fell = falls(accuracies)
    assert [*times[fell]] == [83]
    below = deficits(accuracies)
    assert [*below[below >= 1.999]] == pytest.approx([2.07], abs=0.005)
    assert accuracies[fell, 83] == 98.1
    deepest = below[~fell].max(axis=1)
    assert extremes(deepest) == pytest.approx([0.83, 1.91], abs=0.005)
    assert extremes(below[:, -1]) == pytest.approx([0.42, 0.92], abs=0.005)
    ends = accuracies[:, -1]
    assert extremes(ends) == pytest.approx([97.78, 98.29], abs=0.005)
    gains, norms = dynamics(runs, "gain", "recurrent_norm")
    passed = first_above_1(gains)
    assert extremes(passed) == [39, 53]
    assert [*(times - passed)[fell]] == [44]
    assert [*gains[fell, 81]] == pytest.approx([1.13], abs=0.005)
    assert gains[fell, 82] > 1
    largest = gains[~fell].max(axis=1)
    assert extremes(largest) == pytest.approx([1.38, 1.97], abs=0.005)
    above_1 = (gains[~fell] > 1).sum(axis=1)
    assert extremes(above_1) == [28, 48]
    assert (np.diff(norms) > 0).all()
    at_passing = norms[np.arange(10), passed - 1].round()
    assert extremes(at_passing) == [248, 289]
    last = norms[:, -1].round()
    assert extremes(last) == [364, 371]
    plain = curves(groups["document"])["test"]
    times, fell = falls(plain)
    (plain_norms,) = dynamics(groups["document"], "recurrent_norm")
    before = plain_norms[fell, times[fell] - 2].round()
    assert extremes(before) == [251, 361]
    assert [falls(each, 1.5)[1].sum() for each in (accuracies, plain)] == [4, 9]


def larger_before_falls(
    values: Any, times: Any, fell: Any, *, before: bool = False
) -> Iterator[tuple[int, int]]:
    """In how many falls a run's value is larger than the median of all, or like, that stand.

    Those that fall in the same epoch stand `before` it.
    """
    for alike in (False, True):
        signs = []
        for run in np.flatnonzero(fell):
            epoch = times[run] - 2
            later = times >= times[run] if before else times > times[run]
            stands = ~fell | later
            stands[run] = False
            if alike:
                stands &= np.arange(20) // 10 == run // 10
            if stands.any():
                signs.append(values[run, epoch] > np.median(values[stands, epoch]))
        yield sum(signs), len(signs)


def test_table_of_gains() -> None:
    groups = collapse()
    plain = [
        (run, *(each[0] for each in falls(np.array([run["curves"]["test"]]))))
        for name in ("original", "document")
        for run in groups[name]
    ]
    found = rows("gains")
    fallen = [(run, time) for run, time, fell in plain if fell]
    larger: dict[int, list[bool]] = {2: [], 3: []}  # by the column of cells
    for (label, *cells), (run, time) in zip(found[:-1], fallen, strict=True):
        own, variant = run["dynamics"]["gain"][time - 2], run["config"]["variant"]
        standing = [other for other, when, fell in plain if not fell or when > time]
        alike = [other for other in standing if other["config"]["variant"] == variant]
        assert label == f"`{variant}`, seed {run['config']['seed']}"
        assert int(cells[0]) == time
        shown(cells[1], own)
        for number, others in ((2, standing), (3, alike)):
            if not others:
                assert cells[number] == ""
                continue
            gain = np.median([other["dynamics"]["gain"][time - 2] for other in others])
            shown(cells[number], float(gain))
            larger[number].append(own > gain)
    for number, signs in larger.items():
        count, p = found[-1][number + 1].split(", p ")
        shown(count, sum(signs), len(signs))
        shown_p(p, stats.binomtest(sum(signs), len(signs), alternative="greater").pvalue)
    assert [(sum(signs), len(signs)) for signs in larger.values()] == [(17, 18), (15, 16)]


def test_table_of_characteristics() -> None:
    result = json.loads((ROOT / "benchmarks/results/characteristics.json").read_text())
    found = rows("characteristics")
    assert len(found) == len(result["scenarios"])
    words = ("REPRODUCED", "LOWER", "HIGHER", "DIFFERENT", "INCONCLUSIVE")
    for cells, scenario in zip(found, result["scenarios"], strict=True):
        assert sum(scenario["words"].values()) == result["simulations"]
        for cell, word in zip(cells[3:8], words, strict=True):
            shown(cell, 100 * scenario["words"].get(word, 0) / result["simulations"])
        if not scenario["shift"] and scenario["rate"] is None:
            wrong = sum(float(cell) for cell in cells[4:7])
            assert wrong <= 5 + 3 * 100 * np.sqrt(0.05 * 0.95 / result["simulations"])


NETWORKS = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")


def test_table_of_networks() -> None:
    found = rows("networks", NETWORKS)
    assert len(found) == 6
    for network, _, mean, sd, other_mean, other_sd, collapsed, arithmetic, _ in found:
        label = "" if network == "`lstm`" else f"-{network.strip('`')}"
        runs = study(ROOT / "lstm_mnist" / "results" / f"original{label}.json")
        original, stable = curves(runs)["test"], studied(f"stable{label}")["test"]
        shown(mean, stable[:, -1].mean())
        shown(sd, stable[:, -1].std(ddof=1))
        shown(other_mean, original[:, -1].mean())
        shown(other_sd, original[:, -1].std(ddof=1))
        below = original.max(axis=1) - original[:, -1]
        assert collapsed == f"{(below.round(6) >= 2).sum()} of {len(runs)}"
        assert {run.get("arithmetic", "earlier") for run in runs} == {arithmetic.strip("`")}


def test_what_is_said_of_networks_at_the_learning_rate_of_the_script() -> None:
    for network in ("bilstm", "deep_lstm"):
        accuracies = studied(f"stable-{network}")["test"]
        assert (deficits(accuracies)[:, -1] < 1.999).all()
    simple = ("rnn", "birnn", "deep_birnn")
    accuracies = np.concatenate([studied(f"original-{network}")["test"] for network in simple])
    best = accuracies.max(axis=1)
    first = (accuracies.argmax(axis=1) == 0).sum()
    low = (accuracies[:, -1] < 11.4).sum()
    told = (
        f"with {best.min():.0f} to {best.max():.0f} %, is the first in {first} of {len(best)} runs,"
        f" and {low} end at 11.4 % or less"
    )
    assert told in NETWORKS.replace("\n", " ")


def sweep(name: str, setting: str) -> dict[tuple[Any, ...], list[float]]:
    """Final test accuracies by cell, learning rate and a setting of a sweep."""
    found: dict[tuple[Any, ...], list[float]] = {}
    for run in study(ROOT / "benchmarks" / "results" / f"{name}.json"):
        config = run["config"]
        key = config.get("cell", "lstm"), config["learning_rate"], config[setting]
        found.setdefault(key, []).append(run["curves"]["test"][-1])
    assert {len(finals) for finals in found.values()} == {3}
    return found


def test_table_of_blank_rows() -> None:
    finals = sweep("blanks", "blanks")
    found = rows("blanks", NETWORKS)
    assert len(found) * 4 == len(finals)
    for label, *cells in found:
        cell, rate = label.split(", ")
        for cell_text, blanks in zip(cells, (0, 28, 56, 112), strict=True):
            values = finals[{"LSTM": "lstm", "simple RNN": "rnn"}[cell], float(rate), blanks]
            shown(cell_text, float(np.mean(values)), min(values), max(values))


def test_what_is_said_of_short_contexts() -> None:
    studied = sweep("context", "context")
    finals = {rows: float(np.mean(values)) for (_, _, rows), values in studied.items()}
    told = (
        "{:.1f} %, hardly more .* rows give {:.1f} %, fourteen {:.1f} %, 20 .* all 28 give {:.1f}"
    )
    assert re.search(told.format(*(finals[n] for n in (1, 7, 14, 28))), NETWORKS.replace("\n", " "))
    assert finals[20] >= REPORTED["test"] > finals[19]
    without_topmost, all_rows = (studied["lstm", 0.01, rows] for rows in (23, 28))
    assert max(without_topmost) > min(all_rows)
