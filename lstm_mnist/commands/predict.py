"""Name the digits in a user's pictures."""

import json
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
_SHOW = paths.define(
    "show",
    None,
    "New or empty folder for what the network sees of each picture: 28x28 pixels.",
    OutputError,
)
flags.adopt_module_key_flags(model)
flags.declare_key_flag(common.DEVICE.name)
flags.declare_key_flag(common.HELP.name)


class _Picture(NamedTuple):
    number: int  # from 1, among the arguments
    path: str
    image: "Pixels"
    doubt: str | None  # see likeness.doubt


def main(arguments: Sequence[str]) -> int:
    """Run the command on pictures: 0 if all of them could be read, else 2. Raises UserError."""
    if not arguments:
        raise UsageError("predict needs a picture: predict IMAGE ... [--flag=value ...]")
    model.path()
    if _SHOW.value:
        files.check_folder(Path(_SHOW.value), flag=_SHOW.name)
    pictures = _read(arguments)
    if _SHOW.value:
        _write(Path(_SHOW.value), pictures, total=len(arguments))
    predictions = _predict(pictures) if pictures else []
    if _JSON.value:
        print(json.dumps(list(map(_as_dict, pictures, predictions)), indent=2))
    elif pictures:
        print("\n".join([_HEADING, *map(_row, pictures, predictions)]))
    return 0 if len(pictures) == len(arguments) else PictureError.exit_code


def _read(paths: Sequence[str]) -> list[_Picture]:
    """Read the pictures that can be read, and print a line for each that cannot."""
    from lstm_mnist.digits import likeness, preprocessing

    pictures = []
    for number, path in enumerate(paths, 1):
        try:
            image = preprocessing.read(Path(path))
            pictures.append(_Picture(number, path, image, likeness.doubt(image)))
        except PictureError as error:
            print(f"lstm_mnist: {path} {error}", file=sys.stderr)
    return pictures


def _write(folder: Path, pictures: Sequence[_Picture], total: int) -> None:
    """Write what the network sees; the numbers tell pictures of the same name apart."""
    from lstm_mnist.digits import preprocessing

    files.create_folder(folder, flag=_SHOW.name)
    for picture in pictures:
        name = f"{picture.number:0{len(str(total))}}-{Path(picture.path).stem}.png"
        preprocessing.write(folder / name, picture.image)


def _predict(pictures: Sequence[_Picture]) -> "list[Probabilities]":
    runtime.start(common.DEVICE.value, "keras")
    import numpy as np

    from lstm_mnist import training

    images = np.stack([picture.image for picture in pictures])
    return list(training.probabilities(training.predict(model.load(), images)))


def _as_dict(picture: _Picture, probabilities: "Probabilities") -> dict[str, object]:
    return {
        "path": picture.path,
        "digit": int(probabilities.argmax()),
        "probabilities": probabilities.tolist(),
        "doubt": picture.doubt,
    }


_HEADING = (
    "digit "
    + "".join(f"{f'% of {digit}':>8}" for digit in range(10))
    + "  doubt            picture"
)


def _row(picture: _Picture, probabilities: "Probabilities") -> str:
    percent = "".join(f"{100 * probability:8.2f}" for probability in probabilities)
    return f"{probabilities.argmax():5} {percent}  {picture.doubt or '-':15}  {picture.path}"
