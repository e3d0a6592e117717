"""How gates end after known changes, simulated: `python -m benchmarks.gate_characteristics`.

Takes minutes, and writes `results/gate_characteristics.json`.
"""

import dataclasses
import json
from typing import Any

from benchmarks import record, simulated_gates
from lstm_mnist.studies import calibration
from lstm_mnist.studies.gate import IMPROVED, PASSED, REGRESSION, UNDECIDED, Plan
from lstm_mnist.system import files

PATH = record.FOLDER / "gate_characteristics.json"
CHANGES = (0.2, 0.1, 0.0, -0.05, -0.1, -0.15, -0.2, -0.3, -0.5, -1.0, -5.0)
IN_SOME_RUNS = ((-0.8, 0.25), (-2.0, 0.2), (-20.0, 0.1), (-20.0, 0.3))  # and in which share
GATES, GATES_UNCHANGED = 100_000, 2_000_000


def main() -> None:
    """Simulate, and write the results."""
    committed = calibration.read(calibration.COMMITTED).baseline
    plan = Plan()
    cases = [
        *((committed.size, False, change, 1.0) for change in CHANGES),
        *((count, False, change, 1.0) for count in (10, 20) for change in (0.0, -plan.drop)),
        *((committed.size, True, change, 1.0) for change in (0.0, -plan.drop)),
        *((committed.size, False, change, share) for change, share in IN_SOME_RUNS),
    ]
    rows = []
    for count, skewed, change, share in cases:
        found = simulated_gates.simulate(
            committed._replace(size=count),
            plan,
            change,
            share=share,
            gates=GATES if change else GATES_UNCHANGED,
            skewed=skewed,
        )
        rows.append({"calibrated": count, "skewed": skewed, **found._asdict()})
        print(json.dumps(rows[-1]), flush=True)
    about = {"plan": dataclasses.asdict(plan), "sd": committed.sd}
    files.write_json(PATH, {**about, "gates": GATES, "unchanged": GATES_UNCHANGED, "rows": rows})


def table(rows: list[dict[str, Any]]) -> str:
    """Return the simulations in Markdown."""
    lines = [
        "| calibrated runs | change in points | fails | undecided, among the fails "
        "| called improved | runs: mean | median | 95 % within |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        rates = row["rates"]
        fails = rates[REGRESSION] + rates[UNDECIDED]
        assert abs(fails + rates[PASSED] + rates[IMPROVED] - 1) < 1e-9
        count = f"{row['calibrated']}{', skewed' if row['skewed'] else ''}"
        change = f"{row['change']:+.2f}" if row["change"] else "0"
        if row["share"] < 1:
            change += f", in {100 * row['share']:.0f} % of the runs"
        lines.append(
            f"| {count} | {change} | {fails:.2%} | {rates[UNDECIDED]:.2%} | {rates[IMPROVED]:.2%} "
            f"| {row['mean_runs']:.1f} | {row['median_runs']:.0f} | {row['high_runs']:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
