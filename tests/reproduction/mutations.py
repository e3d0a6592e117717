"""Faults of the program, each with the quantity of `verify` that finds it first."""

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import mutators
import tensorflow as tf

from lstm_mnist import networks, training

_DOCS = Path(__file__).parents[2] / "docs"
PAGES = (_DOCS / "verification.md", _DOCS / "zh" / "verification.md")


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A fault, how it is put in, and what finds it."""

    fault: str
    found_by: str  # the first quantity that is out of bounds
    put: mutators.Put = lambda patch: None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    kernel: str = "compiled"
    slow: bool = False  # is found after seconds, in the weights of many seeds or in a run

    def __str__(self) -> str:
        return self.fault


H, C, LOGITS = (f"first batch: {name}" for name in ("final state h", "final state c", "logits"))
ORDER, SHAPES = "label order: passes that agree", "shapes of the weights"
OPTIMIZER, LOSS = "compiled: optimizer", "compiled: loss"
ROWS = "initial recurrent_kernel: products of its rows"
EVALUATED = "evaluation of epoch 1: right, train"
GRADIENT = "first batch: gradient of kernel, relative"
CONSTRAINED = "compiled: regularizers, constraints, dropout"
KEPT = "short run: epochs with the best weights kept"
FED = "run: epochs fed in the recorded order"


def _recipe(fault: str, found_by: str, **settings: Any) -> Mutation:
    return Mutation(fault, found_by, settings=settings)


def _in_run(fault: str, found_by: str, old: str, new: str) -> Mutation:
    return Mutation(fault, found_by, mutators.source(training.run, old, new), slow=True)


def _after_epoch(fault: str, found_by: str, statement: str) -> Mutation:
    """Return a mutation of what happens at the end of a run's epoch."""
    return _in_run(fault, found_by, "observer.tell(state.run)", statement)


def _chosen(step: int) -> str:
    return f"optimizer: chosen gradients after step {step}, relative"


def _next_loss(step: int) -> str:
    return f"recorded weights after step {step}: next loss"


MUTATIONS = (
    # The network.
    _recipe("the dense layer reads h", LOGITS, readout="hidden"),
    _recipe("sigmoid gates", H, recurrent_activation="sigmoid"),
    _recipe("a step is a column", H, scan="columns"),
    _recipe("a blank row at the end", H, blanks=1),
    _recipe("27 rows", "first batch: gradient of bias, relative", context=27),
    _recipe("99 units", SHAPES, units=99),
    _recipe("two layers", SHAPES, layers=2),
    _recipe("bidirectional", SHAPES, bidirectional=True),
    _recipe("a simple RNN", SHAPES, cell="rnn"),
    Mutation("no bias in the dense layer", SHAPES, mutators.dense(use_bias=False)),
    Mutation("1 % dropout", LOGITS, mutators.dropout),
    Mutation("gates i, f swapped", H, mutators.swapped(1, 0, 2, 3)),
    Mutation("gates c, o swapped", H, mutators.swapped(0, 1, 3, 2)),
    Mutation("gates f, c swapped", H, mutators.swapped(0, 2, 1, 3)),
    Mutation("hard sigmoid of slope 0.201", H, mutators.lstm_weights(mutators.slope)),
    Mutation(
        "Keras 3's hard sigmoid",
        H,
        lambda patch: patch.setitem(
            networks.GATE_ACTIVATIONS, "hard_sigmoid", keras.activations.hard_sigmoid
        ),
        kernel="keras",
    ),
    Mutation("no LSTM bias", H, mutators.lstm_weights(lambda k, r, b: (k, r, b * 0))),
    Mutation("weights in bfloat16", H, mutators.lstm_weights(mutators.in_bfloat16)),
    Mutation("h begins at 0.001", C, mutators.lstm_call(mutators.begun_with_ones)),
    Mutation("final cell clipped at 12", "saturated cells: c", mutators.clipped(12)),
    Mutation("final cell clipped at 20", "saturated cells: c", mutators.clipped(20)),
    Mutation(
        "cell clipped at 20 in every step",
        "saturated cells: c",
        mutators.clipped_at_each_step,
        kernel="keras",
    ),
    # The optimizer, by its settings.
    _recipe("epsilon 1e-7", OPTIMIZER, epsilon=1e-7),
    _recipe("learning rate 0.011", OPTIMIZER, learning_rate=0.011),
    _recipe("cosine schedule", OPTIMIZER, schedule="cosine"),
    Mutation("cosine schedule in runs of several epochs", OPTIMIZER, mutators.cosine_in_long_runs),
    Mutation("AMSGrad", OPTIMIZER, mutators.adam(amsgrad=True)),
    Mutation("decoupled weight decay of 1e-4", OPTIMIZER, mutators.adam(weight_decay=1e-4)),
    Mutation("decoupled weight decay of 1e-5", OPTIMIZER, mutators.adam(weight_decay=1e-5)),
    Mutation(
        "gradients clipped to a global norm of 20", OPTIMIZER, mutators.adam(global_clipnorm=20.0)
    ),
    Mutation("gradients clipped to a norm of 20", OPTIMIZER, mutators.adam(clipnorm=20.0)),
    Mutation("gradients clipped to values of 5", OPTIMIZER, mutators.adam(clipvalue=5.0)),
    Mutation("beta_1 0.91", OPTIMIZER, mutators.adam(beta_1=0.91)),
    Mutation("beta_2 0.99", OPTIMIZER, mutators.adam(beta_2=0.99)),
    Mutation("averaged weights", OPTIMIZER, mutators.adam(use_ema=True)),
    Mutation("gradients of two batches", OPTIMIZER, mutators.adam(gradient_accumulation_steps=2)),
    Mutation(
        "Nadam",
        OPTIMIZER,
        lambda patch: patch.setattr(keras.optimizers, "Adam", keras.optimizers.Nadam),
    ),
    # The optimizer, beneath its settings.
    Mutation(
        "decoupled weight decay beneath",
        "optimizer: no gradient after step 0",
        mutators.in_adam(mutators.decayed),
    ),
    Mutation(
        "gradients clipped to norms of 20 after step 550",
        _chosen(575),
        mutators.in_adam(
            lambda late, g, _, rate: (tf.where(late, tf.clip_by_norm(g, 20.0), g), rate)
        ),
    ),
    Mutation(
        "learning rate 0.0099 after step 550",
        _chosen(575),
        mutators.in_adam(lambda late, g, _, rate: (g, tf.where(late, rate * 0.99, rate))),
    ),
    Mutation("epsilon beside the corrected moment", _chosen(0), mutators.corrected_epsilon),
    # The loss.
    Mutation("the sum over the batch", LOSS, mutators.loss(reduction="sum")),
    Mutation("logits taken for probabilities", LOSS, mutators.loss(from_logits=False)),
    Mutation("zeros are not learnt", LOSS, mutators.loss(ignore_class=0)),
    Mutation("loss larger by 1e-5", GRADIENT, mutators.larger_loss),
    Mutation(
        "L2 penalty of 1e-9",
        CONSTRAINED,
        mutators.dense(kernel_regularizer=keras.regularizers.L2(1e-9)),
    ),
    Mutation(
        "columns bounded by 100",
        CONSTRAINED,
        mutators.dense(kernel_constraint=keras.constraints.MaxNorm(100)),
    ),
    # The start.
    Mutation("forget bias 0", "initial bias", mutators.no_forget_bias),
    Mutation(
        "He-normal kernels",
        "initial kernel: entries beyond 0.118",
        mutators.initializer("GlorotUniform", keras.initializers.HeNormal),
        slow=True,
    ),
    Mutation(
        "Glorot-normal kernels",
        "initial kernel: entries beyond 0.118",
        mutators.initializer("GlorotUniform", keras.initializers.GlorotNormal),
        slow=True,
    ),
    Mutation(
        "kernels narrower by 3 %",
        "initial kernel: variance over a uniform one's",
        mutators.initializer("GlorotUniform", mutators.narrower),
        slow=True,
    ),
    Mutation(
        "kernels of two values",
        "initial kernel: Kolmogorov-Smirnov distance",
        mutators.initializer("GlorotUniform", mutators.two_values_of),
        slow=True,
    ),
    Mutation(
        "recurrent kernel not orthogonal",
        ROWS,
        mutators.initializer("Orthogonal", keras.initializers.GlorotUniform),
        slow=True,
    ),
    Mutation(
        "recurrent kernel longer by a thousandth",
        ROWS,
        mutators.initializer("Orthogonal", functools.partial(keras.initializers.Orthogonal, 1.001)),
        slow=True,
    ),
    Mutation(
        "recurrent kernel that prefers a sign",
        "initial recurrent_kernel: positive on the diagonal",
        mutators.positive_diagonal,
        slow=True,
    ),
    Mutation(
        "one recurrent kernel for all seeds",
        "initial recurrent_kernel: different ones",
        mutators.one_recurrent_kernel,
        slow=True,
    ),
    Mutation(
        "dense bias 0.01",
        "initial dense_bias",
        mutators.dense(bias_initializer=keras.initializers.Constant(0.01)),
        slow=True,
    ),
    # The data.
    Mutation("another seed's order", ORDER, mutators.other_seed),
    Mutation("epoch 2 in epoch 1's order", ORDER, mutators.orders(mutators.repeat_first)),
    Mutation("later epochs not shuffled", ORDER, mutators.orders(mutators.unshuffled_later)),
    Mutation(
        "epoch 3 in epoch 1's order",
        "short run: orders of its epochs",
        mutators.orders(mutators.after_second(mutators.repeat_first)),
        slow=True,
    ),
    Mutation(
        "half the data from epoch 3 on",
        "short run: epochs fed whole",
        mutators.orders(mutators.after_second(mutators.half_later)),
        slow=True,
    ),
    Mutation("half the data in later epochs", ORDER, mutators.orders(mutators.half_later)),
    Mutation("evaluation's order in training", ORDER, mutators.orders(mutators.test_before_train)),
    Mutation(
        "pixels divided by 256", "first batch: pixel sums, relative", mutators.pixels(1 / 256)
    ),
    # What is made of a run.
    Mutation(
        "best epoch by test images",
        KEPT,
        mutators.best_by_test,
        slow=True,
    ),
    Mutation(
        "weights of the best epoch by test images",
        KEPT,
        mutators.source(
            training._finished,
            "run.best is epoch",
            "max(run.epochs, key=lambda each: each.test.correct) is epoch",
        ),
        slow=True,
    ),
    Mutation(
        "weights of the last epoch for those of the best",
        KEPT,
        mutators.source(training._finished, "run.best is epoch", "True"),
        slow=True,
    ),
    Mutation("the second best logit counts", EVALUATED, mutators.second_best, slow=True),
    Mutation("logits rounded to float16", EVALUATED, mutators.rounded, slow=True),
    _in_run(
        "held-out images for test images",
        "evaluation of epoch 1: right, test",
        "dataset._asdict()",
        "dataset._replace(test=dataset.validation)._asdict()",
    ),
    # The run itself.
    Mutation(
        "every epoch fed from the first one's start",
        "short run: orders of its epochs",
        mutators.source(
            training.run, "_train(model, feed,", "_train(model, iter(batches(config, dataset)),"
        ),
    ),
    _in_run(
        "every epoch fed half the data",
        FED,
        "iter(batches(config, dataset, skip=len(state.run.epochs) * steps + state.step))",
        "iter(batches(config, dataset).take(275).repeat())",
    ),
    Mutation(
        "executions of more steps than an epoch has",
        "run: steps",
        mutators.source(
            training.compiled, "math.gcd(steps, MAX_STEPS_PER_EXECUTION)", "min(steps, 100)"
        ),
        slow=True,
    ),
    Mutation(
        "loss not reset between epochs",
        "mean loss of epoch 2, as reported",
        mutators.source(
            training._train, "if not state.step:", "if not state.step + len(state.run.epochs):"
        ),
        slow=True,
    ),
    _after_epoch(
        "learning rate 0.009 from epoch 2 on",
        "mean loss of epoch 2, as reported",
        "model.optimizer.learning_rate.assign(0.009)",
    ),
    _after_epoch(
        "weights shrunk after an epoch",
        "first loss of epoch 2",
        "model.set_weights([0.99 * weight for weight in model.get_weights()])",
    ),
    _after_epoch(
        "moments forgotten after an epoch",
        "losses of steps 551 to 1100",
        "[v.assign(v * 0) for v in model.optimizer.variables[2:]]",
    ),
    _in_run(
        "weights shrunk by a callback",
        "after step 100: kernel",
        "[*observer.callbacks]",
        "[*observer.callbacks, keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_, **__: "
        "model.set_weights([0.99 * weight for weight in model.get_weights()]))]",
    ),
)


def rendered(page: str) -> str:
    """Return a page in which the table of mutations is what is said here."""
    rows = "".join(
        f"| {one.fault} | {one.found_by} |{' Keras' if one.kernel == 'keras' else ''} |\n"
        for one in MUTATIONS
    )
    head = "| fault | found by | kernel, if not the compiled one |\n|---|---|---|\n"
    pattern = r"(<!-- Rendered by mutations.py. -->\n).*?(<!-- End. -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{head}{rows}{found[2]}", page, flags=re.DOTALL)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(rendered(path.read_text(encoding="utf-8")), encoding="utf-8")
