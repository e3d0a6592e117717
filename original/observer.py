"""Run the script, and observe it where it meets the world, without a change of it.

* `print` is a name that the script looks up, so it gets ours, which prints and listens. The lines
  hold the accuracies in full, and each ends a pass over a split. After the last line of iteration
  K, ours raises an exception: this is how `--epochs` ends the script early.
* `tf.Session.run` gets every batch, and tells training steps from evaluation by what is fetched.
  The script's loss is fetched along with a training step. Before the first step and after some
  others, the initial state, the weights and the gradients are fetched by calls of their own, which
  change nothing. The gradients are the inputs of the optimizer's update operations: calling
  `tf.gradients` again would add operations to the script's loop over the time steps.

A complete run for `--runs` is observed by `print` alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from typing import Any, Callable, NamedTuple
from unittest import mock

from errors import RecorderError

_WEIGHTS_BY_SHAPE = {
    (28, 400): "kernel",
    (100, 400): "recurrent_kernel",
    (400,): "bias",
    (100, 10): "dense_kernel",
    (10,): "dense_bias",
}
_WEIGHT_STEPS = (1, 10, 100, 550)  # after which the weights are recorded
# What the script prints at the end of each pass over a split.
_PASS_ENDS = {
    "train": re.compile(r"=+ Iter \d+ =+"),
    "train_evaluation": re.compile(r"Train set accuracy: (\S+) %"),
    "test_evaluation": re.compile(r"Test set accuracy: (\S+) %"),
}


class Observation(NamedTuple):
    """What a run of the script did."""

    curve: list[tuple[float, float]]  # train and test accuracy in percent after each iteration
    label_order_sha256: list[tuple[str, str]]  # each pass and its labels (uint8), in order
    arrays: dict[str, Any]


class _EnoughError(Exception):
    """The script has done as many iterations as were asked for."""


class _Observer:
    """Hears what a script prints and, for a trace, sees what its session runs."""

    def __init__(self, tf: Any, iterations: int) -> None:
        self.names = {"__name__": "__main__", "print": self._print}  # the script's globals
        self.curve: list[tuple[float, float]] = []
        self.passes: list[tuple[str, str]] = []
        self.arrays: dict[str, Any] = {}
        self.losses: list[Any] = []
        self._tf = tf
        self._run: Callable[..., Any] = tf.Session.run
        self._iterations = iterations
        self._labels = hashlib.sha256()
        self._train_accuracy = float("nan")

    def _print(self, *words: object) -> None:
        print(*words, flush=True)
        line = " ".join(map(str, words))
        for name, pattern in _PASS_ENDS.items():
            found = pattern.fullmatch(line)
            if found is None:
                continue
            self.passes.append((name, self._labels.hexdigest()))
            self._labels = hashlib.sha256()
            if name == "train_evaluation":
                self._train_accuracy = float(found[1])
            if name == "test_evaluation":
                self.curve.append((self._train_accuracy, float(found[1])))
                if len(self.curve) == self._iterations:
                    raise _EnoughError

    def session_run(self, session: Any, fetches: Any, feed_dict: Any = None) -> Any:
        """Stand in for `tf.Session.run`."""
        import numpy as np

        if feed_dict is None:
            return self._run(session, fetches)
        labels = np.argmax(feed_dict[self.names["y"]], axis=1).astype(np.uint8)
        self._labels.update(labels.tobytes())
        if fetches is not self.names["train"]:
            return self._run(session, fetches, feed_dict)
        if not self.losses:
            self._record_weights(session, "initial")
            self._record_first_batch(session, feed_dict, labels)
        result, loss = self._run(session, [fetches, self.names["loss"]], feed_dict)
        self.losses.append(loss)
        if len(self.losses) in _WEIGHT_STEPS:
            self._record_weights(session, f"after_{len(self.losses)}")
        return result

    def _record_weights(self, session: Any, group: str) -> None:
        self._record(group, self._run(session, self._tf.trainable_variables()))

    def _record_first_batch(self, session: Any, feed_dict: Any, labels: Any) -> None:
        updates = [
            operation
            for operation in session.graph.get_operations()
            if operation.type in ("ApplyAdam", "ResourceApplyAdam")
        ]
        states, logits, gradients = self._run(
            session,
            [
                self.names["final_state"],
                self.names["prediction"],
                [update.inputs[-1] for update in updates],
            ],
            feed_dict,
        )
        self.arrays["first_batch/images_sum"] = feed_dict[self.names["x"]].sum(axis=1)
        self.arrays["first_batch/labels"] = labels
        for index, state in enumerate(states):
            self.arrays[f"first_batch/final_state_{index}"] = state
        self.arrays["first_batch/logits"] = logits
        self._record("first_batch/gradient", gradients)

    def _record(self, group: str, values: list[Any]) -> None:
        by_name = {_WEIGHTS_BY_SHAPE[value.shape]: value for value in values}
        for name in _WEIGHTS_BY_SHAPE.values():
            self.arrays[f"{group}/{name}"] = by_name[name]


def observe(script: str, tf: Any, iterations: int, trace: bool) -> Observation:
    """Run a script for some of its iterations and return what it did.

    `tf` is the module whose Session the script uses. Without `trace` the arrays and labels are not
    observed. Raises RecorderError if the script ends before that.
    """
    import numpy as np

    observer = _Observer(tf, iterations)
    with contextlib.ExitStack() as stack:
        if trace:

            def run(session: Any, fetches: Any, feed_dict: Any = None) -> Any:
                return observer.session_run(session, fetches, feed_dict)

            stack.enter_context(mock.patch.object(tf.Session, "run", run))
        stack.enter_context(contextlib.suppress(_EnoughError))
        exec(compile(script, "the document's script", "exec"), observer.names)
    if len(observer.curve) != iterations:
        raise RecorderError(f"the script ended after {len(observer.curve)} iterations")
    if not trace:
        return Observation(observer.curve, [], {})
    observer.arrays["loss"] = np.array(observer.losses, dtype=np.float32)
    observer.arrays["accuracy_percent"] = np.array(observer.curve)
    return Observation(observer.curve, observer.passes, observer.arrays)
