"""Compare one epoch with other libraries' and with the machine's: `python -m benchmarks`.

One epoch is 550 steps of 100 examples, and then the accuracy over 55,000 training and 10,000 test
images. Every contender has a process of its own; in every round each is measured once, in rotating
order, so that what slows the machine slows all of them.
"""

import argparse
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks import contenders, floor, record
from benchmarks.processes import Worker, machine
from lstm_mnist import data
from lstm_mnist.config import Config
from lstm_mnist.system import files, runtime

PATH = record.FOLDER / "comparison.json"
MIN_TEST_ACCURACY = 0.95  # with less, it did not learn


class Entry(NamedTuple):
    """A contender and the activation of its gates."""

    contender: str
    gate: str

    def __str__(self) -> str:
        return f"{contenders.LABELS[self.contender]}, {self.gate}"


ENTRIES = (
    Entry("ours", "sigmoid"),
    Entry("stock_keras", "sigmoid"),
    Entry("pytorch", "sigmoid"),
    Entry("jax_scan", "sigmoid"),
    Entry("ours", "hard_sigmoid"),
    Entry("stock_keras", "hard_sigmoid"),
)


class Measured(NamedTuple):
    """What was measured, round by round, and the operations that it took."""

    epochs: dict[Entry, list[contenders.Timing]]
    rates: dict[str, list[float]]  # of float32 matrix products, GFLOP/s
    work: floor.Work


def main() -> None:
    """Measure, write the results and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="epochs measured of each contender")
    parser.add_argument("--output", type=Path, default=PATH)
    arguments = parser.parse_args()

    dataset = data.load()
    measured = measure(dataset, arguments.rounds)
    check_accuracy(measured)
    files.write_json(arguments.output, {**record.circumstances(machine()), **as_dict(measured)})
    print(table(measured))


def measure(dataset: data.Dataset, rounds: int) -> Measured:
    """Measure every contender and the machine's rate in each of several rounds."""
    measured = Measured(
        {entry: [] for entry in ENTRIES},
        {name: [] for name in floor.RATES},
        floor.work(Config(), dataset),
    )
    with contextlib.ExitStack() as stack:
        turns: list[tuple[str, list[Any], Worker, Callable[[], Any]]] = []
        for entry, epochs in measured.epochs.items():
            worker = stack.enter_context(Worker(runtime.cores()))
            worker.call(
                contenders.start, entry.contender, Config(recurrent_activation=entry.gate), dataset
            )
            turns.append((str(entry), epochs, worker, contenders.epoch))
        for name, rates in measured.rates.items():
            worker = stack.enter_context(Worker(runtime.cores()))
            turns.append((f"GFLOP/s of {name}", rates, worker, floor.RATES[name]))

        for label, _, worker, function in turns:
            print(f"warm-up: {label}: {worker.call(function)}", flush=True)
        for number in range(rounds):
            first = number % len(turns)
            for label, results, worker, function in turns[first:] + turns[:first]:
                results.append(worker.call(function))
                print(f"round {number + 1} of {rounds}: {label}: {results[-1]}", flush=True)
    return measured


def check_accuracy(measured: Measured) -> None:
    """Exit with an error if a contender did not learn: its times would mean nothing."""
    for entry, epochs in measured.epochs.items():
        accuracy = epochs[-1].test_accuracy
        if not accuracy > MIN_TEST_ACCURACY:
            raise SystemExit(f"{entry} does not train: test accuracy {accuracy:.2%}")


def table(measured: Measured) -> str:
    """Return the comparison in Markdown; every figure is the median over the rounds."""
    work = measured.work
    fastest = max(measured.rates, key=lambda name: median(measured.rates[name]))
    floors = [sum(work) / rate for rate in measured.rates[fastest]]
    rows = [
        "| | gates | fit s | evaluate s | epoch s | ours ÷ it | GFLOP/s | epoch ÷ floor |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for entry, epochs in measured.epochs.items():
        seconds = _seconds(epochs)
        ours = _seconds(measured.epochs[Entry("ours", entry.gate)])
        rows.append(
            f"| {contenders.LABELS[entry.contender]} | {entry.gate} "
            f"| {median(epoch.fit_seconds for epoch in epochs):.2f} "
            f"| {median(epoch.evaluate_seconds for epoch in epochs):.2f} "
            f"| {record.spread(seconds)} | {record.spread(_ratios(ours, seconds))} "
            f"| {sum(work) / median(seconds):.0f} "
            f"| {median(_ratios(seconds, floors)):.2f} |"
        )
    rate = median(measured.rates[fastest])
    ours = _seconds(measured.epochs[Entry("ours", Config().recurrent_activation)])
    rows.append(
        f"| floor: products alone, at {fastest}'s rate | "
        f"| {work.fit / rate:.2f} | {work.evaluate / rate:.2f} "
        f"| {record.spread(floors)} | {record.spread(_ratios(ours, floors))} | {rate:.0f} | 1 |"
    )
    return "\n".join(rows) + "\n"


def as_dict(measured: Measured) -> dict[str, Any]:
    """Return all that was measured as a JSON object."""
    return {
        "gflop": measured.work._asdict(),
        "products_gflop_per_second": measured.rates,
        "contenders": [
            {**entry._asdict(), "rounds": [epoch._asdict() for epoch in epochs]}
            for entry, epochs in measured.epochs.items()
        ],
    }


def from_dict(written: dict[str, Any]) -> Measured:
    """Return what `as_dict` turned into a JSON object."""
    epochs = {
        Entry(each["contender"], each["gate"]): [contenders.Timing(**run) for run in each["rounds"]]
        for each in written["contenders"]
    }
    return Measured(epochs, written["products_gflop_per_second"], floor.Work(**written["gflop"]))


def _seconds(epochs: Sequence[contenders.Timing]) -> list[float]:
    return [epoch.fit_seconds + epoch.evaluate_seconds for epoch in epochs]


def _ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    return [above / below for above, below in zip(numerators, denominators, strict=True)]


if __name__ == "__main__":
    main()
