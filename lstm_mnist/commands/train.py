"""Train the network, evaluate it after every epoch, and compare with the reported accuracy."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from lstm_mnist import artifacts, comparison, config, runtime, study
from lstm_mnist.commands import common, recipe, thresholds

if TYPE_CHECKING:
    from lstm_mnist.data import Dataset
    from lstm_mnist.training import Run

_SEED = flags.DEFINE_integer(
    "seed",
    config.Config().seed,
    "Determines the initial weights and the order of the examples.",
    lower_bound=0,
    upper_bound=2**32 - 1,  # what NumPy's generator takes
)
_VARIANT = flags.DEFINE_enum(
    "variant",
    config.DEFAULT_VARIANT,
    list(config.VARIANTS),
    "original: what the script does under TensorFlow 1.15 (cell, hard_sigmoid, rows); "
    "document: the same with sigmoid gates; prose: what its text says (hidden, sigmoid, columns); "
    "original_hidden, original_epsilon: original with that one change (hidden; epsilon 1e-7); "
    "stable: document with a learning rate that falls to 0 (cosine).",
)
_RECORD_DYNAMICS = flags.DEFINE_bool(
    "record_dynamics",
    False,
    "Write dynamics.csv: loss, gradient norm and cell state size every 25 steps.",
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "New or empty folder for the results. By default runs/<time>-seed<seed>."
)
flags.adopt_module_key_flags(recipe)
flags.adopt_module_key_flags(thresholds)
flags.adopt_module_key_flags(common)


def main(arguments: Sequence[str]) -> int:
    """Run the command. Raises UserError."""
    common.refuse(arguments)
    settings = recipe.settings(_VARIANT.value, _SEED.value)
    data_dir = common.data_dir()
    folder = Path(_OUTPUT_DIR.value or artifacts.default_folder(settings.seed))
    artifacts.check_folder(folder)
    device = runtime.start(common.DEVICE.value, settings.kernel)
    from lstm_mnist import data, job

    dataset = data.load(data_dir, progress=common.progress())
    print(_heading(settings, device), flush=True)
    run = job.execute(
        settings,
        dataset,
        folder,
        device=device,
        on_epoch=_print,
        record_dynamics=_RECORD_DYNAMICS.value,
        progress=common.progress(),
    )
    print(f"\n{comparison.summary(run)}\n\nResults: {folder}", flush=True)
    _report(folder, dataset)
    gate = thresholds.wanted()
    epoch = getattr(run, gate.epoch)
    gate.check(f"seed {settings.seed}", train=epoch.train.percent, test=epoch.test.percent)
    return 0


def _report(folder: Path, dataset: "Dataset") -> None:
    """Write the report of a finished run into its folder."""
    from lstm_mnist import mistakes, networks

    found = mistakes.find(networks.load(folder / artifacts.BEST_MODEL), dataset.test)
    groups = study.pooled([study.read_folder(folder)])
    common.write_report(folder / artifacts.REPORT, f"Run {folder.name}", groups, found)


def _heading(settings: config.Config, device: dict[str, Any]) -> str:
    cell = (
        f"{settings.recurrent_activation} gates, {settings.readout} state read out"
        if settings.cell == "lstm"
        else "no gates"
    )
    return (
        f"Variant {settings.variant}, network {settings.network}: {cell}, "
        f"{settings.scan} as time steps; seed {settings.seed}\n"
        f"{device['kind']}: {device['name']}, {device['cores']} cores"
    )


def _print(run: "Run") -> None:
    """Print an epoch as the original script does."""
    print(f"========== Iter {run.final.number - 1} ==========")
    print(f"Train set accuracy: {run.final.train.percent} %")
    print(f"Test set accuracy: {run.final.test.percent} %", flush=True)
