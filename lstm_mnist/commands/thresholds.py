"""Flags of the accuracy gate."""

from absl import flags

from lstm_mnist import gate

_MIN_TRAIN = flags.DEFINE_float(
    "min_train_accuracy",
    None,
    "Least training accuracy in percent; less is exit code 6.",
    lower_bound=0.0,
    upper_bound=100.0,
)
_MIN_TEST = flags.DEFINE_float(
    "min_test_accuracy",
    None,
    "Least test accuracy in percent; less is exit code 6.",
    lower_bound=0.0,
    upper_bound=100.0,
)
_MAX = flags.DEFINE_float(
    "max_test_accuracy",
    gate.Gate.max_test_accuracy,
    "More on the test images, in percent, is taken for leaked labels: exit code 6.",
    lower_bound=0.0,
    upper_bound=100.0,
)
_EPOCH = flags.DEFINE_enum(
    "gate",
    gate.Gate.epoch,
    gate.EPOCHS,
    "Epoch that the thresholds are for: best by held-out images, or final.",
)


def wanted() -> gate.Gate:
    """Return the gate that the flags ask for."""
    return gate.Gate(
        min_train_accuracy=_MIN_TRAIN.value,
        min_test_accuracy=_MIN_TEST.value,
        max_test_accuracy=_MAX.value,
        epoch=_EPOCH.value,
    )
