"""Failures that a user can act on: each becomes one line on standard error and an exit code."""


class UserError(Exception):
    """Base of the failures that are reported without a traceback."""

    exit_code = 1


class UsageError(UserError):
    """A flag, an argument or their combination is wrong."""

    exit_code = 2


class PictureError(UserError):
    """A user's picture cannot be read, or shows no digit."""

    exit_code = 2


class DataError(UserError):
    """An input file (archive, dataset, trace, network) is missing, unreadable or altered."""

    exit_code = 3


class CheckpointError(UserError):
    """The checkpoint to continue from is missing, damaged or another run's."""

    exit_code = 4


class DivergedError(UserError):
    """A loss or a weight is not a finite number any more."""

    exit_code = 5


class AccuracyError(UserError):
    """An accuracy is below what was asked for, or too good to be true."""

    exit_code = 6


class OutputError(UserError):
    """Results cannot be written where they were asked to go."""

    exit_code = 7
