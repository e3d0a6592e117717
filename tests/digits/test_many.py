import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Command
from PIL import Image, ImageDraw, ImageFont

from benchmarks import pictures
from benchmarks.drawn import shapes
from lstm_mnist import data


def in_a_row(places: dict[int, tuple[int, int]]) -> tuple[Image.Image, list[Any]]:
    """Digits of a font on a page of 900 x 600 pixels, each at a place; and their boxes."""
    page, boxes = Image.new("L", (900, 600), 255), []
    font = ImageFont.truetype(shapes.FONT_FOLDER / "DejaVuSans.ttf", 200)
    for digit, place in places.items():
        ink = Image.new("L", page.size)
        ImageDraw.Draw(ink).text(place, str(digit), font=font, fill=255)
        page.paste(0, mask=ink)
        boxes.append(ink.getbbox())
    return page, boxes


@pytest.mark.parametrize("count", [20, pytest.param(60, marks=pytest.mark.slow)])
def test_digits_side_by_side(
    command: Command, tmp_path: Path, dataset: data.Dataset, count: int
) -> None:
    digits = shapes.Digits(dataset.test.images, dataset.test.labels)
    rows = [pictures.mnist_row(number, 1, digits) for number in range(count)]
    for number, (file, _) in enumerate(rows):
        (tmp_path / f"{number}.png").write_bytes(file)
    page, expected = in_a_row({2: (60, 70), 5: (330, 40), 8: (650, 110)})
    page.save(tmp_path / "three digits.png")
    names = [*(f"{number}.png" for number in range(count)), "three digits.png"]
    finished = command("predict", "--many", "--json", "--show=seen", *names)
    assert (finished.returncode, finished.stderr) == (0, "")
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for answer in json.loads(finished.stdout):
        assert list(answer) == ["path", "digit", "probabilities", "doubt", "box"]
        found[answer["path"]].append(answer)
    named = [[answer["digit"] for answer in found[f"{number}.png"]] for number in range(count)]
    right = sum(each == labels for each, (_, labels) in zip(named, rows, strict=True))
    assert right >= 0.9 * count
    assert [answer["digit"] for answer in found["three digits.png"]] == [2, 5, 8]
    boxes = np.array([answer["box"] for answer in found["three digits.png"]])
    np.testing.assert_allclose(boxes, expected, atol=4)  # pixels; it was read at 400 x 267
    with Image.open(tmp_path / "seen" / f"{count + 1}-three digits.png") as image:
        seen = np.asarray(image).astype(int)
    red = seen[..., 0] - seen[..., 1] > 100
    columns = np.flatnonzero(red.any(axis=0)) * 900 / 400
    assert all(np.abs(columns - edge).min() < 5 for edge in boxes[:, [0, 2]].ravel())
    assert red.mean() < 0.1


@pytest.mark.slow
def test_table_of_digits_side_by_side(command: Command, tmp_path: Path) -> None:
    page, _ = in_a_row({3: (100, 50), 7: (500, 50)})
    page.save(tmp_path / "two.png")
    finished = command("predict", "--many", "two.png")
    assert (finished.returncode, finished.stderr) == (0, "")
    heading, *rows = finished.stdout.splitlines()
    assert re.fullmatch(r"digit( +% of \d){10}  doubt +box +picture", heading)
    assert [row.split()[0] for row in rows] == ["3", "7"]
    assert all(re.search(r"  -( +\d+){4} +two\.png$", row) for row in rows)
