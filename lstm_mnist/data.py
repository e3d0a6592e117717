"""MNIST as TensorFlow 1's `read_data_sets` gave it, checked at every load."""

import contextlib
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_mnist import archives
from lstm_mnist.config import FEATURES, STEPS, TOTALS
from lstm_mnist.system import files
from lstm_mnist.system.errors import OutputError, first_line

# SHA-256 of a split's pixels (uint8, [N, 28, 28]) followed by its labels (uint8, [N]).
SPLIT_SHA256 = {
    "train": "12d85ccf7045311321359e8016611fe8928a6317b69b4543429ee07dce628b3d",
    "validation": "47d921ad3f2875ef61ee1565a06261eb42e205fa9b89340f349dbb60792ff55c",
    "test": "c3f9adf9c66efb572b1f9326c3a511b45910c7173b97be66ceceeeeaef6b802b",
}
# A decoded copy of the dataset in the data directory, which is faster to load and safe to delete.
DECODED = "mnist-decoded.npz"
SCALE = np.float32(1 / 255)


class Split(NamedTuple):
    """Examples in the order of the archives."""

    pixels: NDArray[np.uint8]  # [N, 28, 28], rows by columns
    labels: NDArray[np.uint8]  # [N], in 0..9

    @property
    def images(self) -> NDArray[np.float32]:
        """Return the pixels scaled to [0, 1]: a copy of four times their size."""
        return scale(self.pixels)

    def part(self, examples: slice) -> "Split":
        """Return some of the examples."""
        return Split(self.pixels[examples], self.labels[examples])


class Dataset(NamedTuple):
    """The three splits of `read_data_sets`: 55,000, 5,000 and 10,000 examples."""

    train: Split
    validation: Split
    test: Split


def load(data_dir: str | None = None, *, progress: bool = False) -> Dataset:
    """Load MNIST, preparing it in `data_dir` first if it is not there.

    No connection is attempted. `data_dir` is TFDS's data directory (None: its default place), and
    `progress` shows TFDS's progress bars while it prepares.

    Raises DataError if the data is not MNIST or cannot be read, and OutputError if it cannot be
    prepared.
    """
    builder = archives.prepared(data_dir, progress=progress)
    decoded = Path(builder.data_path.parents[1], DECODED)
    if decoded.exists():
        splits = read_decoded(decoded)
        _check(splits, decoded)
    else:
        splits = _read_prepared(builder)
        _check(splits, builder.data_path)
        with contextlib.suppress(OutputError):  # it only saves time: read-only folders lack it
            _keep(decoded, splits)
    return Dataset(**splits)


def _check(splits: dict[str, Split], source: Path) -> None:
    """Check that splits are MNIST's. Raises DataError."""
    for name, split in splits.items():
        types = {split.pixels.dtype, split.labels.dtype}
        if split.pixels.shape[1:] != (STEPS, FEATURES) or types != {np.dtype(np.uint8)}:
            raise archives.damaged(source, f"{name} split: arrays of another form")
        actual, expected = digest(*split), SPLIT_SHA256[name]
        if actual != expected:
            raise archives.damaged(source, f"{name} split: SHA-256 {actual}, expected {expected}")


def digest(pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of a split's pixels followed by its labels."""
    sha256 = hashlib.sha256(np.ascontiguousarray(pixels).data)
    sha256.update(np.ascontiguousarray(labels).data)
    return sha256.hexdigest()


def _read_prepared(builder: Any) -> dict[str, Split]:
    """Decode TFDS's records into the three splits."""
    train = Split(*archives.read(builder, "train"))
    held_out = TOTALS["validation"]  # the first training images, as in `read_data_sets`
    return {
        "train": train.part(slice(held_out, None)),
        "validation": train.part(slice(held_out)),
        "test": Split(*archives.read(builder, "test")),
    }


def read_decoded(path: Path) -> dict[str, Split]:
    """Read what `write_decoded` wrote, unchecked. Raises DataError."""
    try:
        arrays = files.read_npz(path)
        return {
            name: Split(arrays[f"{name}_pixels"], arrays[f"{name}_labels"]) for name in SPLIT_SHA256
        }
    except (ValueError, KeyError) as error:
        raise archives.damaged(path, first_line(error)) from error


def _keep(path: Path, splits: dict[str, Split]) -> None:
    """Write the decoded copy unless another process has. Raises OutputError."""
    with archives.alone(path.parent):
        if not path.exists():
            write_decoded(path, splits)


def write_decoded(path: Path, splits: dict[str, Split]) -> None:
    """Write splits, by name, to one file that NumPy reads. Raises OutputError."""
    arrays = {
        f"{name}_{field}": array
        for name, split in splits.items()
        for field, array in split._asdict().items()
    }
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def scale(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale pixels to [0, 1] by multiplying with float32(1/255), as `read_data_sets` does."""
    return np.multiply(pixels, SCALE, dtype=np.float32)
