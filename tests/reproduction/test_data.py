import gzip
import hashlib
import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import epoch_order
from numpy.typing import NDArray

from lstm_mnist import archives, data
from lstm_mnist.order import epoch_orders
from lstm_mnist.system.errors import DataError

SIZES = {"train_size": 55_000, "test_size": 10_000}


def read_idx(name: str, header: int) -> NDArray[np.uint8]:
    return np.frombuffer(
        gzip.decompress((archives.ARCHIVES / name).read_bytes())[header:], np.uint8
    )


def test_splits_are_those_of_the_archives(dataset: data.Dataset) -> None:
    pixels = read_idx("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = read_idx("train-labels-idx1-ubyte.gz", 8)
    expected = {
        "train": (pixels[5_000:], labels[5_000:]),
        "validation": (pixels[:5_000], labels[:5_000]),
        "test": (
            read_idx("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28),
            read_idx("t10k-labels-idx1-ubyte.gz", 8),
        ),
    }
    for name, (images, split_labels) in expected.items():
        split = getattr(dataset, name)
        assert split.images.dtype == np.float32
        assert np.array_equal(split.images, images.astype(np.float32) * np.float32(1 / 255))
        assert np.array_equal(split.labels, split_labels)
        digest = hashlib.sha256(images.tobytes() + split_labels.tobytes()).hexdigest()
        assert digest == data.SPLIT_SHA256[name]


class NextBatch:
    """The shuffling of `read_data_sets`, done to the examples themselves."""

    def __init__(self, size: int) -> None:
        self.examples = np.arange(size)
        self.position = 0
        self.fresh = True

    def shuffle(self) -> None:
        permutation = np.arange(len(self.examples))
        np.random.shuffle(permutation)
        self.examples = self.examples[permutation]

    def __call__(self, size: int) -> list[int]:
        if self.fresh:
            self.shuffle()
            self.fresh = False
        rest = self.examples[self.position : self.position + size]
        self.position += size
        if self.position <= len(self.examples):
            return list(rest)
        self.shuffle()
        self.position = size - len(rest)
        return [*rest, *self.examples[: self.position]]


@pytest.mark.parametrize("batch_size", [10, 7])
def test_order_is_that_of_next_batch(batch_size: int) -> None:
    np.random.seed(11)
    train, test = NextBatch(100), NextBatch(30)
    orders = epoch_orders(11, train_size=100, test_size=30, batch_size=batch_size)
    for order in itertools.islice(orders, 5):
        for split, size, indices in (
            (train, 100, order.train),
            (train, 100, order.train_evaluation),
            (test, 30, order.test_evaluation),
        ):
            fed = [index for _ in range(size // batch_size) for index in split(batch_size)]
            assert list(indices) == fed


def test_any_epoch_can_be_entered() -> None:
    orders = epoch_orders(3, **SIZES, batch_size=100)
    *_, eighth = itertools.islice(orders, 8)
    for expected, actual in zip(eighth, epoch_order(3, 7, **SIZES, batch_size=100), strict=True):
        assert np.array_equal(expected, actual)


@pytest.mark.parametrize("batch_size", [10_001, 55_000])
def test_pass_of_fewer_examples_than_a_batch_is_empty(batch_size: int) -> None:
    for order in itertools.islice(epoch_orders(0, **SIZES, batch_size=batch_size), 2):
        assert len(order.train) == len(order.train_evaluation) == 55_000 // batch_size * batch_size
        assert len(order.test_evaluation) == 0


def test_each_pass_feeds_every_example_once() -> None:
    order = epoch_order(5, 2, **SIZES, batch_size=100)
    assert np.array_equal(np.sort(order.train), np.arange(55_000))
    assert np.array_equal(np.sort(order.train_evaluation), np.arange(55_000))
    assert np.array_equal(np.sort(order.test_evaluation), np.arange(10_000))
    assert not np.array_equal(order.train, order.train_evaluation)


def test_altered_archive_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "archives"
    shutil.copytree(archives.ARCHIVES, folder)
    altered = folder / "t10k-labels-idx1-ubyte.gz"
    altered.write_bytes(altered.read_bytes()[:-1])
    monkeypatch.setattr(archives, "ARCHIVES", folder)
    expected = archives.ARCHIVE_SHA256[altered.name]
    actual = hashlib.sha256(altered.read_bytes()).hexdigest()
    with pytest.raises(DataError, match=f"{altered}.*{actual}.*{expected}"):
        data.load(str(tmp_path / "data"))
    altered.unlink()
    with pytest.raises(DataError, match=f"{altered} is not .*No such file or directory"):
        data.load(str(tmp_path / "data"))


def copy_of_records(data_dir: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "data"
    shutil.copytree(data_dir, copy)
    (copy / data.DECODED).unlink()
    return copy


@pytest.mark.slow
def test_decoded_copy_can_be_missing(data_dir: Path, tmp_path: Path, dataset: data.Dataset) -> None:
    copy = copy_of_records(data_dir, tmp_path)
    for split, expected in zip(data.load(str(copy)), dataset, strict=True):
        assert np.array_equal(split.images, expected.images)
        assert np.array_equal(split.labels, expected.labels)
    assert (copy / data.DECODED).exists()


@pytest.mark.parametrize("position", [None, 20_000_000])
def test_damaged_decoded_copy_is_reported(
    data_dir: Path, tmp_path: Path, position: int | None
) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data_dir, copy)
    decoded = copy / data.DECODED
    content = bytearray(decoded.read_bytes())
    if position is None:
        del content[len(content) // 2 :]
    else:
        content[position] ^= 1
    decoded.write_bytes(content)
    with pytest.raises(DataError, match=f"{decoded} is damaged"):
        data.load(str(copy))


@pytest.mark.parametrize("damage", ["method", "encrypted", "array"])
def test_decoded_copy_that_numpy_cannot_read(tmp_path: Path, damage: str) -> None:
    """NumPy, and zipfile below it, raise errors of many types."""
    path = tmp_path / data.DECODED
    np.savez(path, train_pixels=np.zeros(3))
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")  # of the archive's directory
    if damage == "method":
        content[entry + 6] = 109  # the version needed to extract it
    elif damage == "encrypted":
        content[entry + 8] |= 1
    path.write_bytes(content)
    if damage == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    with pytest.raises(DataError, match=f"{data.DECODED} is damaged"):
        data.read_decoded(path)


@pytest.mark.parametrize("name", [data.DECODED, "mnist/3.0.1/dataset_info.json"])
def test_named_pipe_in_place_of_the_data(data_dir: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data_dir, copy)
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(DataError, match=r"is damaged \(.*it is not a regular file"):
        data.load(str(copy))


@pytest.mark.parametrize("name", data.SPLIT_SHA256)
@pytest.mark.parametrize("field", ["pixels", "labels"])
def test_every_split_is_held_to_its_digest(
    data_dir: Path, tmp_path: Path, dataset: data.Dataset, name: str, field: str
) -> None:
    """Where the file is sound otherwise, with checksums of its own."""
    shutil.copytree(data_dir / "mnist", tmp_path / "mnist")
    split = getattr(dataset, name)
    altered = getattr(split, field).copy()
    altered.flat[-1] ^= 1
    splits = {**dataset._asdict(), name: split._replace(**{field: altered})}
    data.write_decoded(tmp_path / data.DECODED, splits)
    told = f"{name} split: SHA-256 [0-9a-f]{{64}}, expected {data.SPLIT_SHA256[name]}"
    with pytest.raises(DataError, match=told):
        data.load(str(tmp_path))


def test_arrays_of_another_form_are_reported(
    data_dir: Path, tmp_path: Path, dataset: data.Dataset
) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data_dir, copy)
    flat = {
        name: split._replace(pixels=split.pixels.reshape(-1, 784))
        for name, split in dataset._asdict().items()
    }
    data.write_decoded(copy / data.DECODED, flat)
    with pytest.raises(DataError, match="train split: arrays of another form"):
        data.load(str(copy))


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_missing_description_of_the_dataset(data_dir: Path, tmp_path: Path, name: str) -> None:
    copy = copy_of_records(data_dir, tmp_path)
    (copy / "mnist" / "3.0.1" / name).unlink()
    with pytest.raises(DataError, match=rf"3\.0\.1 is damaged \({name} is missing\): delete it"):
        data.load(str(copy))


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", ["", "garbage", "[]", "{}"])
def test_damaged_description_of_the_dataset(
    data_dir: Path, tmp_path: Path, name: str, content: str
) -> None:
    copy = copy_of_records(data_dir, tmp_path)
    (copy / "mnist" / "3.0.1" / name).write_text(content)
    with pytest.raises(DataError, match="is damaged"):
        data.load(str(copy))


@pytest.mark.parametrize("damage", ["altered", pytest.param("truncated", marks=pytest.mark.slow)])
def test_damaged_dataset_is_reported(data_dir: Path, tmp_path: Path, damage: str) -> None:
    copy = copy_of_records(data_dir, tmp_path)
    (record,) = copy.glob("mnist/*/mnist-train.tfrecord*")
    content = bytearray(record.read_bytes())
    expected = hashlib.sha256(content).hexdigest()
    if damage == "truncated":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    record.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    with pytest.raises(
        DataError, match=f"{copy}.*{record.name}: SHA-256 {digest}, expected {expected}"
    ):
        data.load(str(copy))
    (copy / archives.RECORDS).unlink()
    with pytest.raises(DataError, match=f"{digest}, expected one that is not known"):
        data.load(str(copy))


def test_exchanged_dataset_is_reported(data_dir: Path, tmp_path: Path) -> None:
    copy = copy_of_records(data_dir, tmp_path)
    (test,) = copy.glob("mnist/*/mnist-test.tfrecord*")
    (train,) = copy.glob("mnist/*/mnist-train.tfrecord*")
    shutil.copy(test, train)
    with pytest.raises(DataError, match=f"{copy}.*train split"):
        data.load(str(copy))
