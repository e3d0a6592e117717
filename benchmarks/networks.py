"""What an epoch of each of the document's networks takes: `python -m benchmarks.networks`.

Each has a process of its own; in every round each is measured once, as in `python -m benchmarks`.
"""

import contextlib
from statistics import median

from benchmarks import contenders, record
from benchmarks.processes import Worker, machine
from lstm_mnist import config, data
from lstm_mnist.recurrence import library
from lstm_mnist.system import files, runtime

NETWORKS = ("rnn", "birnn", "deep_birnn", "lstm", "bilstm", "deep_lstm")
PATH = record.FOLDER / "networks.json"
ROUNDS = 3


def main() -> None:
    """Measure, and write the results."""
    dataset = data.load()
    configs = {name: config.Config(**config.NETWORKS[name]) for name in NETWORKS}
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(runtime.cores())) for name in configs}
        for name, worker in workers.items():
            worker.call(contenders.start, "ours", configs[name], dataset)
            worker.call(contenders.epoch)  # traces
        rounds = []
        for _ in range(ROUNDS):
            rounds.append({name: worker.call(contenders.epoch) for name, worker in workers.items()})
            print({name: str(epoch) for name, epoch in rounds[-1].items()}, flush=True)
    circumstances = record.circumstances(machine())
    runtime.start("cpu", library.choose(config.Config.kernel))
    from lstm_mnist import networks

    measured = {
        name: {
            "parameters": networks.build(settings).count_params(),
            "epoch_seconds": median(
                epochs[name].fit_seconds + epochs[name].evaluate_seconds for epochs in rounds
            ),
        }
        for name, settings in configs.items()
    }
    files.write_json(PATH, {**circumstances, "networks": measured})


if __name__ == "__main__":
    main()
