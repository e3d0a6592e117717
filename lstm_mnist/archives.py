"""MNIST's four archives, prepared by TensorFlow Datasets (TFDS) and read back in their order.

The archives are part of the package. TFDS keeps what it prepares in its cache.
"""

import contextlib
import hashlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_mnist.system import files
from lstm_mnist.system.errors import DataError, OutputError, first_line

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
# File in the data directory with the digests of TFDS's records, whose bytes differ every time.
RECORDS = "mnist-records.json"
# Prefix of the name of the folder in which TFDS works.
_WORK = ".mnist-unpacked-"
NEEDED = 130 * 10**6  # bytes: about the space that preparing takes


def prepared(data_dir: str | None, *, progress: bool) -> Any:
    """Return TFDS's builder of MNIST, preparing the dataset first if it is missing.

    Raises DataError if an archive is not what it should be, and OutputError.
    """
    import tensorflow_datasets as tfds

    try:
        builder = _builder(data_dir)
        if not builder.is_prepared():
            _prepare(Path(builder.data_path.parents[1]), progress=progress)
            builder = _builder(data_dir)
        return builder
    except (OSError, OutputError) as error:
        place = data_dir or tfds.core.constants.DATA_DIR
        raise OutputError(
            f"MNIST cannot be prepared in {place} ({error}): name a writable folder with --data_dir"
        ) from error


def _builder(data_dir: str | None) -> Any:
    """Return TFDS's builder of MNIST. Raises OSError, and DataError where its files are damaged."""
    import tensorflow_datasets as tfds

    named = str(data_dir or tfds.core.constants.DATA_DIR)
    if reason := files.no_folder(named):
        raise OutputError(reason)
    place = Path(named).expanduser() / BUILDER.replace(":", "/")
    found = {path.name: path for path in place.glob("*")}
    if found and (missing := {"dataset_info.json", "features.json"} - found.keys()):
        raise damaged(place, f"{min(missing)} is missing")
    for path in found.values():
        try:
            files.reading(path).close()  # TFDS would wait for ever for a named pipe
        except OSError as error:
            raise damaged(place, f"{path.name}: {error.strerror}") from error
    try:
        return tfds.builder(BUILDER, data_dir=data_dir)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # each of TFDS's parsers raises errors of its own
        raise damaged(place, " ".join(str(error).split())[:200]) from error


def _prepare(data_dir: Path, *, progress: bool) -> None:
    """Prepare MNIST from the embedded archives, or wait for the process that is doing it.

    Everything is made in one temporary folder, so that a process that ends early leaves nothing
    else behind.
    """
    import tensorflow_datasets as tfds

    _check_archives()
    tfds.display_progress_bar(enable=progress)
    data_dir.mkdir(parents=True, exist_ok=True)
    with alone(data_dir):
        if tfds.builder(BUILDER, data_dir=data_dir).is_prepared():
            return
        files.check_space(data_dir, NEEDED)
        with tempfile.TemporaryDirectory(prefix=_WORK, dir=data_dir) as work:
            builder = _made(Path(work))
            files.write_json(data_dir / RECORDS, _digests(builder, "*"))
            version = Path(builder.data_path)
            (data_dir / version.parent.name).mkdir(exist_ok=True)
            version.rename(data_dir / version.relative_to(work))


def _made(work: Path) -> Any:
    """Have TFDS make MNIST in a folder, and return its builder. Raises OutputError."""
    import tensorflow_datasets as tfds

    builder = tfds.builder(BUILDER, data_dir=work)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it announces a download; there is none
            builder.download_and_prepare(
                download_dir=work / "unpacked",
                download_config=tfds.download.DownloadConfig(manual_dir=ARCHIVES),
            )
    except Exception as error:  # each of TFDS's writers raises errors of its own
        raise OutputError(f"{type(error).__name__}: {first_line(error)}") from error
    return builder


@contextlib.contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Lock MNIST's files in a data directory, after waiting for other processes.

    Removes what killed processes left. Raises OutputError.
    """
    # TFDS has no lock of its own: of two processes that prepare at once, both may fail.
    with files.locked(data_dir / ".mnist.lock", str(data_dir), wait=True):
        for left in data_dir.glob(f"{_WORK}*"):
            shutil.rmtree(left, ignore_errors=True)
        files.sweep(data_dir)
        yield


def _digests(builder: Any, split: str) -> dict[str, str]:
    """Return the SHA-256 of each of a split's record files, by file name."""
    return {
        path.name: hashlib.sha256(files.read(Path(path))).hexdigest()
        for path in sorted(builder.data_path.glob(f"*-{split}.tfrecord*"))
    }


def _check_archives() -> None:
    for name, expected in ARCHIVE_SHA256.items():
        path = ARCHIVES / name
        try:
            actual = f"SHA-256 {hashlib.sha256(files.read(path)).hexdigest()}"
        except OSError as error:
            actual = str(error.strerror)
        if actual != f"SHA-256 {expected}":
            raise DataError(
                f"{path} is not the archive it should be ({actual}, expected SHA-256 {expected}): "
                "install the package again"
            )


def read(builder: Any, split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the pixels and labels of one of TFDS's splits in the order of the archive."""
    import tensorflow_datasets as tfds

    try:
        stored = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
    except MemoryError:
        raise
    except Exception as error:  # each of TFDS's readers raises errors of its own
        expected: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):  # prepared by somebody else
            expected = files.parse_json(files.read(Path(builder.data_path.parents[1], RECORDS)))
        found = [
            f"{name}: SHA-256 {actual}, expected {expected.get(name, 'one that is not known')}"
            for name, actual in _digests(builder, split).items()
        ]
        reason = "; ".join((first_line(error), *found))
        raise damaged(builder.data_path, f"{split} split: {reason}") from error
    labels = stored["label"].astype(np.uint8)
    position = np.argsort(_archive_index(split, len(labels)))
    return stored["image"][position, :, :, 0], labels[position]


def _archive_index(split: str, size: int) -> list[int]:
    """Return, for each stored example of a split, its index in the archive.

    TFDS stores examples sorted by a hash of their index, salted with the name of the split.
    """
    from tensorflow_datasets.core import hashing

    hasher = hashing.Hasher(split)
    return sorted(range(size), key=[hasher.hash_key(index) for index in range(size)].__getitem__)


def damaged(path: Path, reason: str) -> DataError:
    """Return the error for a prepared file that is not what it should be."""
    return DataError(f"{path} is damaged ({reason}): delete it to have it prepared again")
