"""Made runs, which nobody trained, and what is said about them."""

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lstm_mnist import config, data
from lstm_mnist.results import Epoch, Score
from lstm_mnist.runs import run_folder
from lstm_mnist.studies import mistakes, records, report

WRITTEN = datetime.datetime(2026, 11, 24, 12, 30, tzinfo=datetime.UTC)


def made_run(variant: str, seed: int, curve: Sequence[float]) -> records.Record:
    """A run with the given test accuracies in percent after each epoch."""
    return records.Record(
        config=config.Config(seed=seed),
        epochs=tuple(
            Epoch(
                number=number,
                training_loss=0.2,
                train=Score(round(550 * percent), 55_000, 0.1),
                validation=Score(round(50 * percent), 5_000, 0.1),
                test=Score(round(100 * percent), 10_000, 0.12),
            )
            for number, percent in enumerate(curve, 1)
        ),
        folder=f"{variant}-seed{seed}",
        sha256=f"{seed:064x}",
        seconds=12.0,
        arithmetic="compiled-1",
        versions={"python": "3.11.7", "tensorflow": "2.21.0"},
        device={"kind": "CPU", "name": "of the test", "cores": 2},
        data_sha256=data.SPLIT_SHA256,
        git={"commit": "0" * 40, "changed": False},
    )


def made_groups(*variants: str) -> dict[str, list[records.Record]]:
    """Six runs of each variant, the last of which collapses."""
    curves = [[96.5, *[98.31 + seed / 100] * 28, 98.0 + seed / 10] for seed in range(5)]
    curves.append([96, *[98.4] * 28, 50])
    return {
        variant: [made_run(variant, seed, curve) for seed, curve in enumerate(curves)]
        for variant in variants
    }


def made_pages(
    groups: Mapping[str, Sequence[records.Record]], found: mistakes.Mistakes | None
) -> dict[str, str]:
    """The pages about groups of runs by their languages."""
    made = report.pages(Path("report.html"), groups, found, WRITTEN)
    assert [str(path) for path in made] == ["report.html", "report.zh.html"]
    return dict(zip(run_folder.LANGUAGES, made.values(), strict=True))


def made_mistakes() -> mistakes.Mistakes:
    """What a network confuses that takes some 4s for 9s."""
    confusion = np.diag(np.full(10, 980))
    confusion[4, 9] = 12
    image = np.linspace(0, 1, 784, dtype=np.float32).reshape(28, 28)
    return mistakes.Mistakes(
        confusion,
        tuple(mistakes.Mistake(number, image, 4, 9, 0.99876) for number in range(12)),
    )
