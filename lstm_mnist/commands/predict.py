"""Name the digits in a user's pictures."""

import itertools
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from absl import flags

from lstm_mnist.commands import common, model, paths
from lstm_mnist.system import files, runtime
from lstm_mnist.system.errors import OutputError, PictureError, UsageError

if TYPE_CHECKING:
    from lstm_mnist.digits.decoding import Pixels
    from lstm_mnist.training import Probabilities

_JSON = flags.DEFINE_bool(
    "json", False, "Print a JSON list of objects with path, digit, probabilities and doubt instead."
)
_MANY = flags.DEFINE_bool(
    "many", False, "Read the digits that stand side by side in each picture, one by one."
)
_SHOW = paths.define(
    "show",
    None,
    "New or empty folder for what the network sees of each picture: 28x28 pixels. With --many: for "
    "the pictures with a box around each digit.",
    OutputError,
)
flags.adopt_module_key_flags(model)
flags.declare_key_flag(common.DEVICE.name)
flags.declare_key_flag(common.HELP.name)


class _Digit(NamedTuple):
    number: int  # of its picture, from 1, among the arguments
    path: str
    image: "Pixels"
    box: list[int]  # left, top, right, bottom
    doubt: str | None  # see preprocessing.Digit


def main(arguments: Sequence[str]) -> int:
    """Run the command on pictures: 0 if all of them could be read, else 2. Raises UserError."""
    if not arguments or not all(arguments):
        raise UsageError("predict needs pictures: predict IMAGE ... [--flag=value ...]")
    model.path()
    if _SHOW.value:
        files.check_folder(Path(_SHOW.value), flag=_SHOW.name)
    digits = _read(arguments)
    if _SHOW.value:
        _write(Path(_SHOW.value), digits, total=len(arguments))
    predictions = _predict(digits) if digits else []
    if _JSON.value:
        print(json.dumps(list(map(_as_dict, digits, predictions)), indent=2, allow_nan=False))
    elif digits:
        print("\n".join([_heading(), *map(_row, digits, predictions)]))
    pictures = {digit.number for digit in digits}
    return 0 if len(pictures) == len(arguments) else PictureError.exit_code


def _read(paths: Sequence[str]) -> list[_Digit]:
    """Read the pictures that can be read, and print a line for each that cannot."""
    from lstm_mnist.digits import preprocessing

    digits = []
    for number, path in enumerate(paths, 1):
        try:
            found = preprocessing.digits(Path(path), many=_MANY.value)
        except PictureError as error:
            print(f"lstm_mnist: {_in_line(path)} {error}", file=sys.stderr)
            continue
        for each in found:
            digits.append(_Digit(number, path, each.image, each.box.tolist(), each.doubt))
    return digits


def _in_line(path: str) -> str:
    return path.replace("\n", "\\n")


def _write(folder: Path, digits: Sequence[_Digit], total: int) -> None:
    """Write what the network sees; the numbers tell pictures of the same name apart."""
    from lstm_mnist.digits import preprocessing

    files.create_folder(folder, flag=_SHOW.name)
    for (number, path), found in itertools.groupby(digits, lambda each: (each.number, each.path)):
        start, stem = f"{number:0{len(str(total))}}-", os.fsencode(Path(path).stem)
        left = files.MAX_NAME - len(f"{start}.png")
        file = folder / f"{start}{os.fsdecode(stem[:left])}.png"
        if _MANY.value:
            preprocessing.write_boxes(file, Path(path), [digit.box for digit in found])
        else:
            preprocessing.write(file, next(found).image)


def _predict(digits: Sequence[_Digit]) -> "list[Probabilities]":
    runtime.start(common.DEVICE.value, "keras")
    import numpy as np

    from lstm_mnist import training

    images = np.stack([digit.image for digit in digits])
    return list(training.probabilities(training.predict(model.load(), images)))


def _as_dict(digit: _Digit, probabilities: "Probabilities") -> dict[str, object]:
    return {
        "path": digit.path,
        "digit": int(probabilities.argmax()),
        "probabilities": probabilities.tolist(),
        "doubt": digit.doubt,
    } | ({"box": digit.box} if _MANY.value else {})


def _heading() -> str:
    percent = "".join(f"{f'% of {digit}':>8}" for digit in range(10))
    box = f"{'box':21}" if _MANY.value else ""
    return f"digit {percent}  {'doubt':15}  {box}picture"


def _row(digit: _Digit, probabilities: "Probabilities") -> str:
    percent = "".join(f"{100 * probability:8.2f}" for probability in probabilities)
    box = f"{' '.join(map(str, digit.box)):21}" if _MANY.value else ""
    path = _in_line(digit.path)
    return f"{probabilities.argmax():5} {percent}  {digit.doubt or '-':15}  {box}{path}"
