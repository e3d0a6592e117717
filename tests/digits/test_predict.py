import io
import json
import os
import re
import struct
import sys
import types
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from helpers import Command
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin

from benchmarks import drawn as made
from benchmarks import pictures
from benchmarks.drawn import shapes
from lstm_mnist import data, training
from lstm_mnist.digits import likeness, preprocessing
from lstm_mnist.runs import model_files
from lstm_mnist.system.errors import DataError, PictureError

Saved = Callable[..., str]
HEIC_START = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
# Of the pictures of a kind, the least share that is read right.
LEAST = {"photo": 0.95, "drawing": 0.99, "28x28": 0.96, "printed": 0.9, "plot": 0.95}
WHITE, BLACK, CLEAR = (255, 255, 255, 255), (0, 0, 0, 255), (0, 0, 0, 0)


def drawn(digit: int, paper: tuple[int, ...] = WHITE, ink: tuple[int, ...] = BLACK) -> Image.Image:
    """A digit of a font, small in the lower right of a wide picture."""
    image = Image.new("RGBA", (400, 300), paper)
    font = ImageFont.truetype(shapes.FONT_FOLDER / "DejaVuSans.ttf", 120)
    ImageDraw.Draw(image).text((280, 150), str(digit), font=font, fill=ink)
    return image


def prepared(path: Path) -> NDArray[np.float32]:
    """The image that the network sees of a picture of one digit."""
    return preprocessing.digits(path)[0].image


def stroked(width: int, size: int) -> Image.Image:
    """A two, drawn with a pen of some width."""
    points = [(0.3, 0.35), (0.4, 0.24), (0.55, 0.22), (0.66, 0.32), (0.62, 0.45), (0.3, 0.8)]
    points += [(0.7, 0.78)]
    image = Image.new("L", (size, size), 255)
    line = [(round(x * size), round(y * size)) for x, y in points]
    ImageDraw.Draw(image).line(line, fill=0, width=width, joint="curve")
    return image


def photographed() -> Image.Image:
    """A seven on paper of 12 megapixels that is lit from one side, with a camera's noise."""
    random = np.random.default_rng(1)
    image = ImageOps.pad(drawn(7).convert("L"), (4000, 3000))
    light = np.linspace(1, 0.7, 4000) + random.normal(scale=0.03, size=(3000, 4000))
    pixels = np.clip(np.asarray(image) * light, 0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def scaled_to_16_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def little_range(image: Image.Image) -> Image.Image:
    """16 bits of which the last 9 are used, as a scanner's or a camera's file may be."""
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 2 + 30_000)


def sideways(image: Image.Image, path: Path) -> None:
    """Save a picture as a camera does that was held sideways."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    image.convert("RGB").rotate(90, expand=True).save(path, exif=exif)


def altered(split: data.Split, count: int) -> Iterator[tuple[Image.Image, str, int]]:
    """The first images of a split, enlarged, inverted and coloured, and the format to save in."""
    random = np.random.default_rng(2)
    for image, label in zip(split.images[:count], split.labels, strict=False):
        paper, ink = random.integers(0, 256, (2, 3))
        while np.linalg.norm(paper - ink) < 120:
            paper, ink = random.integers(0, 256, (2, 3))
        side = int(random.integers(28, 300))
        resized = Image.fromarray(image).resize((side, side), int(random.integers(0, 4)))
        strokes = np.clip(np.asarray(resized), 0, 1)[..., np.newaxis]
        pixels = paper * (1 - strokes) + ink * strokes
        name = ("PNG", "JPEG", "GIF")[random.integers(3)]
        yield Image.fromarray(pixels.round().astype(np.uint8)), name.lower(), int(label)


def tiled(side: int, tile: int) -> bytes:
    """Return a black TIFF of one deflated tile, which may be far larger than the picture."""
    content = zlib.compress(bytes(tile * tile), 9)
    tags = {256: side, 257: side, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile, 323: tile}
    tags |= {324: 8, 325: len(content)}  # where the tile is, after the header, and its size
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(content)) + content + directory


def test_noise_beside_infinite_pixels_is_read() -> None:
    """Beside them its contrast is less than a float32 can be divided into."""
    random = np.random.default_rng(0)
    pixels = random.normal(scale=1e-6, size=(92, 113)).astype(np.float32)
    pixels[random.random(pixels.shape) < 0.1] = np.inf
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF")
    assert preprocessing.digits(file)


@pytest.mark.parametrize("count", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_pictures_of_all_kinds_at_once(
    command: Command, tmp_path: Path, dataset: data.Dataset, count: int
) -> None:
    expected: dict[str, int] = {}
    for number, (image, suffix, label) in enumerate(altered(dataset.test, count)):
        expected[f"mnist-{number}.{suffix}"] = label
        image.save(tmp_path / f"mnist-{number}.{suffix}")
    drawings = {
        "black on white.png": (drawn(3), 3),
        "white on black.jpeg": (drawn(4, BLACK, WHITE).convert("RGB"), 4),
        "red on green.gif": (drawn(5, (0, 130, 0, 255), (255, 0, 0, 255)).convert("P"), 5),
        "black on nothing.png": (drawn(6, CLEAR, BLACK), 6),
        "white on nothing.png": (drawn(8, CLEAR, WHITE), 8),
        "faint on white.png": (drawn(9, WHITE, (0, 0, 0, 60)), 9),
        "grey and alpha.png": (drawn(2, CLEAR, BLACK).convert("LA"), 2),
        "16 bits.png": (scaled_to_16_bits(drawn(3)), 3),
        "one bit.png": (drawn(4).convert("1"), 4),
        "four inks.jpg": (drawn(5).convert("CMYK"), 5),
        "fine pen.png": (stroked(1, 200), 2),
        "felt pen.png": (stroked(20, 200), 2),
        "fine pen on much paper.png": (stroked(8, 3000), 2),
        "photograph.jpg": (photographed(), 7),
        "bitmap.bmp": (drawn(3).convert("RGB"), 3),
        "web.webp": (drawn(4), 4),
        "scan.tiff": (drawn(5), 5),
        "plain.ppm": (drawn(6).convert("RGB"), 6),
        "plain.pgm": (drawn(8).convert("L"), 8),
        "little range.png": (little_range(drawn(3)), 3),
        "very faint.png": (drawn(9, WHITE, (249, 249, 249, 255)), 9),
    }
    for name, (image, label) in drawings.items():
        expected[name] = label
        image.save(tmp_path / name)
    sideways(drawn(7), tmp_path / "sideways.jpg")
    expected["sideways.jpg"] = 7
    drawn(4).convert("RGB").save(tmp_path / "remark.jpg", exif=b"Exif\0\0no directory of tags")
    expected["remark.jpg"] = 4

    Image.new("L", (9, 9), 200).save(tmp_path / "blank.png")
    (tmp_path / "text.png").write_text("no picture")
    cut = (tmp_path / "photograph.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(cut[: len(cut) // 2])
    drawn(3).convert("RGB").save(tmp_path / "end.avif")
    whole = (tmp_path / "end.avif").read_bytes()
    (tmp_path / "end.avif").write_bytes(whole[:-20] + bytes(20))
    Image.new("1", (4097, 4096)).save(tmp_path / "large.png")
    (tmp_path / "tile.tif").write_bytes(tiled(64, tile=8192))
    (tmp_path / "one-tile.tif").write_bytes(tiled(64, tile=256))
    (tmp_path / "photo.heic").write_bytes(HEIC_START)
    (tmp_path / "video.mp4").write_bytes(HEIC_START.replace(b"heic", b"isom"))
    os.mkfifo(tmp_path / "pipe.png")
    bad = ["blank.png", "text.png", "cut.jpg", "large.png", "none.png", ".", "photo.heic"]
    bad += ["pipe.png", "video.mp4", "end.avif", "tile.tif", "one-tile.tif"]

    paths = list(expected)
    finished = command("predict", *paths[:50], *bad, *paths[50:], "--json")
    assert finished.returncode == 2
    messages = finished.stderr.splitlines()
    for message, path, reason in zip(
        messages,
        bad,
        [
            "shows no digit: it has one colour",
            "is not a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM picture",
            "cannot be read: image file is truncated",
            "has 4097 x 4096 pixels: make it smaller",
            "cannot be read: No such file or directory",
            "cannot be read: Is a directory",
            "is a HEIC picture: save it as JPEG, or",
            "cannot be read: it is not a regular file",
            "is not a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM picture",
            "is damaged: Failed to decode frame 0",
            "has tiles far larger than itself: save it without",
            "shows no digit: it has one colour",
        ],
        strict=True,
    ):
        assert message.startswith(f"lstm_mnist: {path} {reason}")

    answers = json.loads(finished.stdout)
    assert [answer["path"] for answer in answers] == paths
    for answer in answers:
        assert list(answer) == ["path", "digit", "probabilities", "doubt"]
        assert sum(answer["probabilities"]) == pytest.approx(1)
        assert np.argmax(answer["probabilities"]) == answer["digit"]
    digits = {answer["path"]: answer["digit"] for answer in answers}
    assert {path: digits[path] for path in paths[count:]} == {
        path: expected[path] for path in paths[count:]
    }
    right = sum(digits[path] == expected[path] for path in paths[:count])
    assert right >= 0.97 * count
    # Few of MNIST's images raise a doubt.
    doubted = sum(answer["doubt"] is not None for answer in answers[:count])
    assert doubted <= 0.02 * count


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("photo", 15),
        ("plot", 15),
        *(pytest.param(kind, 60, marks=pytest.mark.slow) for kind in LEAST),
    ],
)
def test_pictures_of_one_kind(kind: str, count: int, dataset: data.Dataset) -> None:
    digits = shapes.Digits(dataset.test.images, dataset.test.labels)
    drawn_pictures = [made.draw(kind, number, 1, digits) for number in range(count)]
    unread, right, doubted = pictures.score(drawn_pictures)
    assert unread == 0
    assert right >= int(LEAST[kind] * count)
    assert doubted <= 0.15 * count


@pytest.mark.parametrize("count", [8, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", made.OTHERS)
def test_doubt_where_there_is_no_single_digit(kind: str, count: int, dataset: data.Dataset) -> None:
    digits = shapes.Digits(dataset.test.images, dataset.test.labels)
    files = [made.draw_other(kind, number, 1, digits) for number in range(count)]
    doubts = [preprocessing.digits(io.BytesIO(file))[0].doubt for file in files]
    assert sum(doubt is not None for doubt in doubts) >= 0.8 * count


@pytest.mark.slow
def test_photograph_of_something_else_raises_doubts() -> None:
    path = Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")
    with Image.open(path) as photograph:
        width, height = photograph.size
        doubts = [
            pictures.doubt(pictures.square(photograph, left, top, side))
            for side in (150, 300)
            for left in range(0, width - side + 1, 150)
            for top in range(0, height - side + 1, 150)
        ]
    assert sum(map(bool, doubts)) >= 0.7 * len(doubts)


def test_digits_one_above_the_other_raise_doubts(dataset: data.Dataset) -> None:
    digits = shapes.Digits(dataset.test.images, dataset.test.labels)
    columns = [pictures.mnist_row(number, 1, digits, axis=0) for number in range(30)]
    doubts = [pictures.doubt(file) for file, _ in columns]
    assert sum(map(bool, doubts)) >= 0.9 * len(doubts)


def test_images_of_mnist_raise_no_doubt(dataset: data.Dataset) -> None:
    doubts = [likeness.doubt(image) for image in dataset.test.images]
    assert sum(doubt is not None for doubt in doubts) < 100


def test_table_and_what_the_network_sees(command: Command, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.keras").write_bytes(model_files.SHIPPED.read_bytes())
    (tmp_path / "other").mkdir()
    for digit, name in ((3, "mine.png"), (7, "other/mine.png")):
        drawn(digit).save(tmp_path / name)
    finished = command("predict", "mine.png", "other/mine.png", "--model=run", "--show=seen")
    assert (finished.returncode, finished.stderr) == (0, "")
    heading, *rows = finished.stdout.splitlines()
    assert re.fullmatch(r"digit( +% of \d){10}  doubt +picture", heading)
    for row, digit, path in zip(rows, (3, 7), ("mine.png", "other/mine.png"), strict=True):
        named, *percent, doubt, picture = row.split()
        assert (int(named), doubt, picture) == (digit, "-", path)
        assert np.argmax([float(value) for value in percent]) == digit
        assert sum(float(value) for value in percent) == pytest.approx(100, abs=0.06)
    seen = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert seen == ["1-mine.png", "2-mine.png"]
    with Image.open(tmp_path / "seen" / "2-mine.png") as image:
        assert (image.mode, image.size) == ("L", (28, 28))
        expected = np.round(255 * prepared(tmp_path / "other" / "mine.png"))
        np.testing.assert_array_equal(np.asarray(image), expected)


@pytest.mark.slow
def test_name_of_more_than_a_line(command: Command, tmp_path: Path) -> None:
    name = "mine\n" + "m" * 246 + ".png"  # as long as can be
    drawn(3).save(tmp_path / name)
    finished = command("predict", name, "none\n.png", "--show=seen")
    assert finished.returncode == 2
    assert finished.stderr == "lstm_mnist: none\\n.png cannot be read: No such file or directory\n"
    assert finished.stdout.count("\n") == 2
    (seen,) = (tmp_path / "seen").iterdir()
    assert seen.suffix == ".png"


def test_prepared_as_mnist_was(dataset: data.Dataset) -> None:
    def place(image: NDArray[np.float32]) -> tuple[int, list[float]]:
        """Return the longer side of the digit and its centre of mass."""
        rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
        centre = [float(image.sum(axis=axis) @ np.arange(28) / image.sum()) for axis in (1, 0)]
        return int(max(np.ptp(rows), np.ptp(columns))) + 1, centre

    # What is said of MNIST in `preprocessing` is so.
    for image in dataset.test.images[:1000]:
        side, centre = place(image)
        assert side == 20
        assert np.abs(np.array(centre) - 14).max() <= 0.51
    correlations = []
    for image in dataset.test.images[:100]:
        large = Image.fromarray(np.round(255 * image)).resize((280, 280), Image.Resampling.BOX)
        strokes = np.pad(np.asarray(large) / 255, ((40, 5), (90, 3))).astype(np.float32)
        normalised = preprocessing.normalise(strokes)
        side, centre = place(normalised)
        assert side == 20
        assert np.abs(np.array(centre) - 14).max() <= 0.51
        correlations.append(np.corrcoef(normalised.ravel(), image.ravel())[0, 1])
    assert np.median(correlations) > 0.95


@pytest.mark.parametrize(("paper", "ink"), [(WHITE, BLACK), (BLACK, WHITE), (CLEAR, BLACK)])
def test_same_image_whatever_the_colours(
    paper: tuple[int, ...], ink: tuple[int, ...], tmp_path: Path
) -> None:
    drawn(5).save(tmp_path / "plain.png")
    drawn(5, paper, ink).save(tmp_path / "picture.png")
    np.testing.assert_allclose(
        prepared(tmp_path / "picture.png"),
        prepared(tmp_path / "plain.png"),
        atol=0.02,
    )


def test_picture_of_one_pixel(tmp_path: Path) -> None:
    Image.new("L", (1, 1)).save(tmp_path / "pixel.png")
    with pytest.raises(PictureError, match="no digit"):
        prepared(tmp_path / "pixel.png")


def test_heic_where_its_plugin_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    drawn(3).save(content, "PNG")
    (tmp_path / "photo.heic").write_bytes(HEIC_START + content.getvalue())
    drawn(3).save(tmp_path / "photo.png")

    class Plugin(PngImagePlugin.PngImageFile):
        """Like pillow-heif's, but of files that hold a PNG after their first bytes."""

        format = "HEIF"

        def _open(self) -> None:
            assert self.fp
            self.fp.seek(len(HEIC_START))
            super()._open()

    def register() -> None:
        Image.register_open("HEIF", Plugin, lambda start: start[4:12] == b"ftypheic")

    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PictureError, match="save it as JPEG, or `pip install pillow-heif`"):
        prepared(tmp_path / "photo.heic")
    plugin = types.SimpleNamespace(register_heif_opener=register)
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    np.testing.assert_array_equal(
        prepared(tmp_path / "photo.heic"),
        prepared(tmp_path / "photo.png"),
    )


def test_shipped_model_is_what_its_readme_says(dataset: data.Dataset) -> None:
    model = model_files.load(model_files.SHIPPED)
    test = training.evaluate(model, dataset.test)
    held_out = training.evaluate(model, dataset.validation)
    readme = model_files.SHIPPED.with_name("README.md").read_text(encoding="utf-8")
    assert f"{test.percent:.2f} % of MNIST's 10,000 test images" in readme
    assert f"{held_out.percent:.2f} % of the 5,000" in readme


def test_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    import keras

    path = tmp_path / "other.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(10)]).save(path)
    with pytest.raises(DataError, match=r"is not a model of this project: it maps \(None, 3\)"):
        model_files.load(path)
