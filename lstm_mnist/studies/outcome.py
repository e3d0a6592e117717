"""What a gate found, as a sentence, as text, as JSON, as JUnit XML and as Markdown."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

from lstm_mnist.studies.calibration import Calibration
from lstm_mnist.studies.gate import (
    CHANGED,
    GOING_ON,
    IMPROVED,
    LEAKED,
    PASSED,
    REGRESSION,
    UNDECIDED,
    Gate,
    Plan,
)
from lstm_mnist.studies.records import Record
from lstm_mnist.system import runtime

if TYPE_CHECKING:
    from lstm_mnist.studies.sequential import Standing

SUITE = "lstm_mnist gate"  # the name of its verdicts in JUnit's XML
QUICK = (
    "Not proven by this: anything that so few steps do not reach, such as most images, a whole "
    "schedule, and the accuracy of a whole run."
)


class GateRun(NamedTuple):
    """A run of the gate."""

    seed: int
    accuracy: float  # on the test images after the final epoch, in percent
    seconds: float


def run_of(run: Record) -> GateRun:
    """Return a finished run as one of the gate's."""
    return GateRun(run.config.seed, run.final.test.percent, run.seconds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a gate found."""

    calibration: Calibration
    plan: Plan
    golden: str | None  # where the first steps' bits differ; None where they are equal
    runs: Sequence[GateRun] = ()
    standings: Sequence["Standing"] = ()  # after each run; a quick gate trains none
    seconds: float = math.nan

    def after(self, run: GateRun) -> "Outcome":
        """Return the outcome with one more run."""
        from lstm_mnist.studies import sequential  # late, because it imports SciPy

        runs = (*self.runs, run)
        accuracies = [each.accuracy for each in runs]
        standing = sequential.standing(accuracies, self.calibration.baseline, self.plan)
        return dataclasses.replace(self, runs=runs, standings=(*self.standings, standing))

    @property
    def decided(self) -> bool:
        """Return whether no further run is needed."""
        return self.state != GOING_ON

    @property
    def state(self) -> str:
        """Return one of `gate.STATES`."""
        if any(run.accuracy > Gate.max_test_accuracy for run in self.runs):
            return LEAKED
        if self.standings:
            return self.standings[-1].state
        return CHANGED if self.golden else PASSED

    @property
    def passed(self) -> bool:
        """Return whether a release may go on."""
        return self.state in (PASSED, IMPROVED)

    @property
    def sentence(self) -> str:
        """Return the verdict in one sentence."""
        if not self.standings:
            return self._quick()
        if self.state == LEAKED:
            return (
                f"TOO GOOD TO BE TRUE: a test accuracy of {self.runs[-1].accuracy:.2f} %, above "
                f"{Gate.max_test_accuracy} %: look for leaked labels, or a fault in the evaluation"
            )
        last, drop = self.standings[-1], f"{self.plan.drop:g}"
        verdict = {
            PASSED: f"PASSED: the test accuracy has not dropped by {drop} points or more",
            IMPROVED: "PASSED, and IMPROVED: the test accuracy has risen",
            REGRESSION: "REGRESSION: the test accuracy has dropped",
            UNDECIDED: f"UNDECIDED, which fails: a drop of the test accuracy by {drop} points is "
            "neither shown nor refuted",
        }[self.state]
        side = "above" if last.difference >= 0 else "below"
        runs = "1 run is" if last.count == 1 else f"{last.count} runs are on average"
        low, high = last.difference - last.margin, last.difference + last.margin
        return (
            f"{verdict}: {runs} {abs(last.difference):.2f} points {side} the "
            f"{self.calibration.baseline.size} calibrated ones (95 % interval {low:+.2f} to "
            f"{high:+.2f})"
        )

    def _quick(self) -> str:
        steps = len(self.calibration.golden.losses)
        if self.golden:
            return (
                f"CHANGED: the first steps do not compute what the calibration's did: {self.golden}"
            )
        return (
            f"PASSED: {steps} steps and their scores are those of the calibration, to the last bit"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        last = self.standings[-1] if self.standings else None
        return {
            "passed": self.passed,
            "state": self.state,
            "sentence": self.sentence,
            "golden": {"equal": self.golden is None, "difference": self.golden},
            "plan": dataclasses.asdict(self.plan),
            "calibration": {
                "file": self.calibration.name,
                "arithmetic": self.calibration.arithmetic,
                "versions": self.calibration.versions,
                **self.calibration.baseline._asdict(),
                "config": self.calibration.config.as_dict(),
            },
            "versions": runtime.versions(),
            "git": runtime.git_state(),
            "runs": [run._asdict() for run in self.runs],
            "standing": dataclasses.asdict(last) if last else None,
            "seconds": self.seconds,
        }

    def junit(self) -> str:
        """Return JUnit's XML: a test case for each stage."""
        cases = [("golden", self.golden if not self.standings else None)]
        if self.standings:
            cases.append(("sequential", None if self.passed else self.sentence))
        failures = sum(failure is not None for _, failure in cases)
        suites = ElementTree.Element("testsuites")
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=SUITE,
            tests=str(len(cases)),
            failures=str(failures),
            errors="0",
            skipped="0",
            time=f"{self.seconds:.3f}",
        )
        for name, failure in cases:
            seconds = sum(run.seconds for run in self.runs) if name == "sequential" else 0.0
            case = ElementTree.SubElement(
                suite, "testcase", classname="lstm_mnist.gate", name=name, time=f"{seconds:.3f}"
            )
            if failure is not None:
                ElementTree.SubElement(case, "failure", message=self.sentence).text = failure
        ElementTree.SubElement(suite, "system-out").text = self._told()
        ElementTree.indent(suites)
        return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"

    def markdown(self) -> str:
        """Return a summary in Markdown."""
        lines = [f"### Accuracy gate: {self.state}", "", self.sentence + ".", ""]
        if self.runs:
            lines += ["| seed | test accuracy % | seconds |", "|--:|--:|--:|"]
            lines += [
                f"| {run.seed} | {run.accuracy:.2f} | {run.seconds:.1f} |" for run in self.runs
            ]
            lines.append("")
        lines.append(self._told())
        return "\n".join(lines) + "\n"

    def _told(self) -> str:
        """Return what was compared with what."""
        golden = f"First steps: {self.golden or 'equal to the last bit'}."
        if not self.standings:
            golden = f"{golden} {QUICK}"
        return f"{golden}\n{calibrated(self.calibration)}."


def is_verdict(content: bytes) -> bool:
    """Return whether a file's content is what `junit` returns, of whatever outcome."""
    try:
        return ElementTree.fromstring(content).find(f"testsuite[@name='{SUITE}']") is not None
    except (ElementTree.ParseError, ValueError, LookupError):  # the last two of odd encodings
        return False


def until_decided(
    found: Outcome, runs: Iterable[GateRun], tell: Callable[[Outcome], None] = lambda found: None
) -> Outcome:
    """Return the outcome after as many runs as decide it, telling where it stands after each."""
    for run in runs:
        found = found.after(run)
        tell(found)
        if found.decided:
            break
    return found


def calibrated(calibration: Calibration) -> str:
    """Return what a calibration is, in a sentence without its full stop."""
    size, mean, sd = calibration.baseline
    config = calibration.config
    epochs = "1 epoch" if config.epochs == 1 else f"{config.epochs} epochs"
    return (
        f"Calibrated by {size} runs of {calibration.runs[0].label}, {epochs}: test accuracy "
        f"{mean:.3f} %, standard deviation {sd:.3f}; {calibration.arithmetic}, {calibration.name}"
    )


def line(found: Outcome) -> str:
    """Return where the test stands after the last run."""
    run, standing = found.runs[-1], found.standings[-1]
    text = (
        f"Run {standing.count}, seed {run.seed}: test accuracy {run.accuracy:.2f} %, "
        f"{run.seconds:.1f} s. On average {standing.difference:+.2f} points; a drop of "
        f"{found.plan.drop:g} or more is {odds(standing)}"
    )
    if standing.most:
        text += f"; about {standing.further} more if nothing has changed, at most {standing.most}"
    return text


def odds(standing: "Standing") -> str:
    """Return how likely a drop is against no change, by the likelihood ratio that decides next."""
    log_ratio = standing.drops if standing.drops > 0 else standing.drop
    ratio = math.exp(min(abs(log_ratio), 20.0))
    return f"{ratio:.3g} times as {'likely' if log_ratio > 0 else 'unlikely'} as no change"
