"""What ends the recorder in one line."""


class RecorderError(Exception):
    """A failure that is reported in one line."""

    exit_code = 3  # a file is missing, unreadable or not what it should be


class UsageError(RecorderError):
    """A flag is wrong, Python or TensorFlow does not fit, or the output cannot be written."""

    exit_code = 2
