"""MNIST as TensorFlow 1's `read_data_sets` gave it.

The four archives are part of the package. TensorFlow Datasets (TFDS) prepares them and keeps the
result in its cache; what is read back is put into the order of the archives and checked.
"""

import contextlib
import hashlib
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_mnist.system import files
from lstm_mnist.system.errors import DataError, OutputError

BUILDER = "mnist:3.0.1"
ARCHIVES = Path(__file__).parent / "archives"
ARCHIVE_SHA256 = {
    "train-images-idx3-ubyte.gz": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}
# SHA-256 of a split's pixels (uint8, [N, 28, 28]) followed by its labels (uint8, [N]).
SPLIT_SHA256 = {
    "train": "12d85ccf7045311321359e8016611fe8928a6317b69b4543429ee07dce628b3d",
    "validation": "47d921ad3f2875ef61ee1565a06261eb42e205fa9b89340f349dbb60792ff55c",
    "test": "c3f9adf9c66efb572b1f9326c3a511b45910c7173b97be66ceceeeeaef6b802b",
}
# A decoded copy of the dataset in the data directory, which is faster to load and safe to delete.
DECODED = "mnist-decoded.npz"
# Beside it, the digests of the records. TFDS writes other bytes every time it prepares them.
RECORDS = "mnist-records.json"
VALIDATION_SIZE = 5_000  # `read_data_sets` holds out the first 5,000 training images
SCALE = np.float32(1 / 255)


class Split(NamedTuple):
    """Examples in the order of the archives."""

    pixels: NDArray[np.uint8]  # [N, 28, 28], rows by columns
    labels: NDArray[np.uint8]  # [N], in 0..9

    @property
    def images(self) -> NDArray[np.float32]:
        """Return a copy of the pixels, scaled to [0, 1], of four times their size."""
        return scale(self.pixels)


class Dataset(NamedTuple):
    """The three splits of `read_data_sets`: 55,000, 5,000 and 10,000 examples."""

    train: Split
    validation: Split
    test: Split


def load(data_dir: str | None = None, *, progress: bool = False) -> Dataset:
    """Load MNIST, preparing it in `data_dir` first if it is not there.

    No connection is attempted. `data_dir` is TFDS's data directory (None: its default place), and
    `progress` shows TFDS's progress bars while it prepares.

    Raises DataError if the data can neither be read nor prepared, or is not MNIST.
    """
    builder = _prepared_builder(data_dir, progress=progress)
    decoded = builder.data_path.parents[1] / DECODED
    if decoded.exists():
        splits = _read_decoded(decoded)
        _check(splits, decoded)
    else:
        splits = _read_prepared(builder)
        _check(splits, builder.data_path)
        with contextlib.suppress(OutputError):  # only faster; a read-only folder does without
            _write_decoded(decoded, splits)
    return Dataset(**splits)


def _check(splits: dict[str, Split], source: Path) -> None:
    """Check that splits are MNIST's. Raises DataError."""
    for name, split in splits.items():
        actual, expected = digest(*split), SPLIT_SHA256[name]
        if actual != expected:
            raise _damaged(source, f"{name} split: SHA-256 {actual}, expected {expected}")


def digest(pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of a split's pixels followed by its labels."""
    sha256 = hashlib.sha256(np.ascontiguousarray(pixels).data)
    sha256.update(np.ascontiguousarray(labels).data)
    return sha256.hexdigest()


def _prepared_builder(data_dir: str | None, *, progress: bool) -> Any:
    """Return TFDS's builder of MNIST, after preparing the dataset where it is missing."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(BUILDER, data_dir=data_dir)
        if not builder.is_prepared():
            builder = _prepare(builder.data_path.parents[1], progress=progress)
        return builder
    except (OSError, OutputError) as error:
        place = data_dir or tfds.core.constants.DATA_DIR
        raise DataError(
            f"MNIST cannot be prepared in {place} ({error}): name a writable folder with --data_dir"
        ) from error


def _prepare(data_dir: Path, *, progress: bool) -> Any:
    """Prepare MNIST from the embedded archives, or wait for the process that is doing it.

    The lock is ours because TFDS has none: two processes that prepare at once fail each other.
    """
    import filelock
    import tensorflow_datasets as tfds

    _check_archives()
    tfds.display_progress_bar(enable=progress)
    data_dir.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(data_dir / ".mnist.lock"):
        builder = tfds.builder(BUILDER, data_dir=data_dir)
        if not builder.is_prepared():
            with (
                # TFDS announces a download, which would be untrue here.
                contextlib.redirect_stdout(io.StringIO()),
                tempfile.TemporaryDirectory(prefix=".mnist-unpacked-", dir=data_dir) as unpacked,
            ):
                builder.download_and_prepare(
                    download_dir=unpacked,
                    download_config=tfds.download.DownloadConfig(manual_dir=ARCHIVES),
                )
            with files.replacing(data_dir / RECORDS) as temporary:
                temporary.write_text(json.dumps(_digests(builder, "*"), indent=2) + "\n")
    return builder


def _digests(builder: Any, split: str) -> dict[str, str]:
    """Return the SHA-256 of the files of records of a split by their names."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(builder.data_path.glob(f"*-{split}.tfrecord*"))
    }


def _check_archives() -> None:
    for name, expected in ARCHIVE_SHA256.items():
        path = ARCHIVES / name
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
        if actual != expected:
            raise DataError(
                f"{path} is not the archive it should be (SHA-256 {actual}, expected {expected}): "
                "install the package again"
            )


def _read_prepared(builder: Any) -> dict[str, Split]:
    """Decode TFDS's records into the three splits."""
    pixels, labels = _read_records(builder, "train")
    held_out, rest = slice(None, VALIDATION_SIZE), slice(VALIDATION_SIZE, None)
    return {
        "train": Split(pixels[rest], labels[rest]),
        "validation": Split(pixels[held_out], labels[held_out]),
        "test": Split(*_read_records(builder, "test")),
    }


def _read_records(builder: Any, split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the pixels and labels of one of TFDS's splits in the order of the archive."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    try:
        stored = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
    except (OSError, ValueError, tf.errors.OpError) as error:
        expected: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):  # prepared by somebody else
            expected = json.loads((builder.data_path.parents[1] / RECORDS).read_text())
        found = [
            f"{name}: SHA-256 {actual}, expected {expected.get(name, 'one that is not known')}"
            for name, actual in _digests(builder, split).items()
        ]
        reason = "; ".join((str(error).splitlines()[0], *found))
        raise _damaged(builder.data_path, f"{split} split: {reason}") from error
    labels = stored["label"].astype(np.uint8)
    position = np.argsort(_archive_index(split, len(labels)))
    return stored["image"][position, :, :, 0], labels[position]


def _read_decoded(path: Path) -> dict[str, Split]:
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return {
                name: Split(arrays[f"{name}_pixels"], arrays[f"{name}_labels"])
                for name in SPLIT_SHA256
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, str(error)) from error


def _write_decoded(path: Path, splits: dict[str, Split]) -> None:
    arrays = {
        f"{name}_{field}": array
        for name, split in splits.items()
        for field, array in split._asdict().items()
    }
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _archive_index(split: str, size: int) -> list[int]:
    """Return, for each stored example of a split, its index in the archive.

    TFDS stores examples sorted by a hash of their index, salted with the name of the split.
    """
    from tensorflow_datasets.core import hashing

    hasher = hashing.Hasher(split)
    return sorted(range(size), key=[hasher.hash_key(index) for index in range(size)].__getitem__)


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is damaged ({reason}): delete it to have it prepared again")


def scale(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale pixels to [0, 1] by the product with float32(1/255), as `read_data_sets` does."""
    return np.multiply(pixels, SCALE, dtype=np.float32)
