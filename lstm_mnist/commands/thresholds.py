"""Flags of the accuracy gate."""

from absl import flags

from lstm_mnist.studies import gate
from lstm_mnist.system.errors import UsageError

_MIN_TRAIN = flags.DEFINE_float(
    "min_train_accuracy",
    None,
    "Least training accuracy in percent; less is exit code 6.",
)
_MIN_TEST = flags.DEFINE_float(
    "min_test_accuracy",
    None,
    "Least test accuracy in percent; less is exit code 6.",
)
_MAX = flags.DEFINE_float(
    "max_test_accuracy",
    gate.Gate.max_test_accuracy,
    "More on the test images, in percent, is taken for leaked labels: exit code 6.",
)
_THRESHOLDS = (_MIN_TRAIN, _MIN_TEST, _MAX)
_EPOCH = flags.DEFINE_enum(
    "gate",
    gate.Gate.epoch,
    gate.EPOCHS,
    "Epoch that the thresholds are for: best by held-out images, or final. By default final where "
    "the learning rate decays to 0, and else best: a run may have fallen at its end.",
)


def _check_percent(threshold: float | None) -> bool:
    if fault := gate.no_percentage(threshold):
        raise flags.ValidationError(fault)
    return True


for _threshold in _THRESHOLDS:
    flags.register_validator(_threshold.name, _check_percent)


def wanted() -> gate.Gate:
    """Return the gate that the flags ask for. Raises UsageError if nothing can pass it."""
    if _MIN_TEST.value is not None and _MIN_TEST.value > _MAX.value:
        raise UsageError(
            f"--{_MIN_TEST.name}={gate.shortest(_MIN_TEST.value)} is above "
            f"--{_MAX.name}={gate.shortest(_MAX.value)}: nothing could pass"
        )
    return gate.Gate(
        min_train_accuracy=_MIN_TRAIN.value,
        min_test_accuracy=_MIN_TEST.value,
        max_test_accuracy=_MAX.value,
        epoch=_EPOCH.value,
    )
