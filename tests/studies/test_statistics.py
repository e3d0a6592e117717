import pytest

from lstm_mnist.studies import records, reference, statistics

RECORDED = reference.recorded_test_curves()


def curves(*finals: float, highest: float = 98.6) -> list[list[float]]:
    return [[97.0, highest + index / 100, final] for index, final in enumerate(finals)]


def test_six_of_the_recorded_runs_have_collapsed() -> None:
    assert sum(map(reference.collapsed, RECORDED)) == 6


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


def test_original_against_itself_is_reproduced() -> None:
    result = statistics.against_recorded(RECORDED, RECORDED)
    assert result.difference == 0
    verdict = statistics.verdict(result, RECORDED, RECORDED)
    assert verdict.word == "REPRODUCED"
    assert verdict.runs_needed is None


@pytest.mark.parametrize(
    ("ours", "word"),
    [
        ([[accuracy - 0.5 for accuracy in curve] for curve in RECORDED], "LOWER"),
        ([[accuracy + 0.5 for accuracy in curve] for curve in RECORDED], "HIGHER"),
        # As high on the way, but no run collapses.
        (curves(*[98.4 + index / 100 for index in range(11)]), "HIGHER"),
        # As high on the way, but all collapse.
        (curves(*[30.0 + index for index in range(11)]), "LOWER"),
        # Two runs, far apart.
        ([[98.9, 97.9], [98.2, 93.0]], "INCONCLUSIVE"),
    ],
)
def test_verdicts(ours: list[list[float]], word: str) -> None:
    result = statistics.against_recorded(ours, RECORDED)
    verdict = statistics.verdict(result, ours, RECORDED)
    assert verdict.word == word, verdict
    assert (verdict.runs_needed or 0) > 2 or word != "INCONCLUSIVE"


def test_verdict_says_that_no_number_of_runs_would_do() -> None:
    (path,) = records.COMMITTED.glob("original_hidden.json")
    ours = [run.test_curve for run in records.read([path])]
    verdict = statistics.judge(ours, RECORDED)
    assert (verdict.word, verdict.runs_needed) == ("INCONCLUSIVE", None)
    assert "no number of runs settles it against 11 recorded" in verdict.explanation


def test_false_alarm_of_a_median() -> None:
    assert statistics.false_alarm(0.3, runs=1) == pytest.approx(0.3)
    # Two or three of three miss: 3 * 0.3^2 * 0.7 + 0.3^3.
    assert statistics.false_alarm(0.3, runs=3) == pytest.approx(0.216)
    assert statistics.false_alarm(0, runs=5) == 0
