"""Gates of the unchanged program and of sabotaged ones, for real: `python -m benchmarks.gates`.

Gates that `results/gates.json` has are not run again; remove it to measure everything anew. With
the name of a sabotage, that one alone is gated in this process, and further arguments are flags of
`gate`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks import record
from lstm_mnist.__main__ import main as program
from lstm_mnist.system import files, runtime

PATH = record.FOLDER / "gates.json"
UNCHANGED = "nothing"
SEEDS = range(0, 1000, 50)  # the first seed of each gate of the unchanged program


def main(arguments: Sequence[str]) -> int:
    """Gate what is not in the file yet, or one sabotage; return the exit code."""
    if arguments:
        name, *flags = arguments
        return sabotaged(name, flags)
    gates = record.kept(PATH, circumstances())["gates"] if PATH.exists() else []
    done = [(gate["sabotage"], gate["seed"]) for gate in gates]
    from benchmarks.sabotage import SABOTAGES

    for name, seed in [*((UNCHANGED, seed) for seed in SEEDS), *((name, 0) for name in SABOTAGES)]:
        if (name, seed) not in done:
            gates.append(gated(name, seed))
            print(gates[-1], flush=True)
            files.write_json(PATH, {**circumstances(), "gates": gates})
    return 0


def circumstances() -> dict[str, Any]:
    """Return the versions and the state of the program with which the gates were run."""
    return {"versions": runtime.versions(), "git": runtime.git_state()}


def sabotaged(name: str, flags: Sequence[str]) -> int:
    """Sabotage this process, gate the program in it, and return the exit code."""
    if name != UNCHANGED:
        from lstm_mnist.recurrence import library

        runtime.start("cpu", library.choose("auto"))  # before anything else imports TensorFlow
        from benchmarks.sabotage import SABOTAGES

        SABOTAGES[name]()
    return program(["gate", *flags])


def gated(name: str, seed: int) -> dict[str, Any]:
    """Gate in a process of its own, and return what is kept of it."""
    environment = {key: os.environ[key] for key in os.environ if key != "GITHUB_STEP_SUMMARY"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gates", name, "--json", f"--seed={seed}"],
        stdout=subprocess.PIPE,
        env=environment,
        check=False,
    )
    if done.returncode not in (0, 6):
        raise SystemExit(f"{name}: exit code {done.returncode}")
    found = json.loads(done.stdout)
    return {
        "sabotage": name,
        "seed": seed,
        "golden": found["golden"]["equal"],
        "state": found["state"],
        "accuracies": [run["accuracy"] for run in found["runs"]],
        "difference": found["standing"]["difference"],
        "seconds": round(found["seconds"], 1),
    }


def table(gates: Sequence[dict[str, Any]]) -> str:
    """Return the sabotaged gates in Markdown, in the order in which they were made."""
    lines = [
        "| sabotage | first steps | verdict | runs | points | seconds |",
        "|---|---|---|--:|--:|--:|",
    ]
    for gate in gates:
        if gate["sabotage"] != UNCHANGED:
            steps = "equal" if gate["golden"] else "differ"
            lines.append(
                f"| {gate['sabotage']} | {steps} | {gate['state']} | {len(gate['accuracies'])} "
                f"| {gate['difference']:+.2f} | {_seconds([gate])} |"
            )
    return "\n".join(lines) + "\n"


def table_of_unchanged(gates: Sequence[dict[str, Any]]) -> str:
    """Return the gates of the unchanged program in Markdown."""
    unchanged = [gate for gate in gates if gate["sabotage"] == UNCHANGED]
    lines = [
        "| verdict | first steps | gates of the program | runs | seconds |",
        "|---|---|--:|--:|--:|",
    ]
    kinds = dict.fromkeys((gate["state"], gate["golden"]) for gate in unchanged)
    for state, golden in kinds:
        alike = [gate for gate in unchanged if (gate["state"], gate["golden"]) == (state, golden)]
        runs = record.spread([len(gate["accuracies"]) for gate in alike], digits=0)
        steps = "equal" if golden else "differ"
        lines.append(f"| {state} | {steps} | {len(alike)} | {runs} | {_seconds(alike)} |")
    return "\n".join(lines) + "\n"


def _seconds(gates: Sequence[dict[str, Any]]) -> str:
    """Return the seconds, and their range if there are several."""
    seconds = [gate["seconds"] for gate in gates]
    return record.spread(seconds, digits=0) if len(seconds) > 1 else f"{median(seconds):.0f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
