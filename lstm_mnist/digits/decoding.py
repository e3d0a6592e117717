"""A user's picture file as an array of colours."""

import contextlib
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lstm_mnist.system import files
from lstm_mnist.system.errors import PictureError, first_line

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
_NAMES = {"WEBP": "WebP"}
# Formats that Pillow reads if it was built with them or has a plug-in.
MORE_FORMATS = ("AVIF", "HEIF")
ALL_FORMATS = (*FORMATS, *MORE_FORMATS)
# The kinds of HEIC file that a header may name; AVIF and videos have headers of the same form.
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# Pixels of the longer side; larger pictures are reduced.
MAX_SIDE = 400
# In levels of 8 or 16 bits; a picture of a smaller range counts as one colour.
MIN_RANGE = 3

Pixels = NDArray[np.float32]


def decode(
    file: Path | IO[bytes],
    max_pixels: int,
    formats: Collection[str] = ALL_FORMATS,
) -> tuple[Pixels, float]:
    """Return a reduced picture's colours, [H, W, C] in [0, 1], and the factor of its reduction.

    C is 4 (red, green and blue multiplied by opacity, then opacity) or 1 (16 bits of grey). An
    animation counts as its first picture. Raises PictureError, which does not name the file.
    """
    try:
        Image.init()
        _register_heic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of many pixels, and of damaged EXIF data
            known = [name for name in formats if name in Image.OPEN]
            with _opened(file) as content, Image.open(content, formats=known) as opened:
                if opened.width * opened.height > max_pixels:
                    raise PictureError(
                        f"has {opened.width} x {opened.height} pixels: make it smaller, "
                        f"{max_pixels:,} is the limit"
                    )
                if _pixels_of_tiles(opened) > 2 * max_pixels:
                    raise PictureError("has tiles far larger than itself: save it without")
                longest = max(opened.size)
                opened.draft("RGB", (MAX_SIDE, MAX_SIDE))  # decodes a JPEG at a reduced size
                image = ImageOps.exif_transpose(opened)
                levels = 255
                if image.mode.startswith(("I", "F")):  # Pillow would clip 16 bits to 8
                    levels = 65535
                    grey = np.nan_to_num(np.asarray(image, np.float32))
                    if image.mode == "F":
                        grey = np.rint(grey / max(np.abs(grey).max(), 1e-9) * levels)
                    image = Image.fromarray(grey)
                else:
                    image = image.convert("RGBA")
                    # Pillow's name for RGBA whose colours are multiplied by their opacity.
                    image = image.convert("RGBa")
    except UnidentifiedImageError as error:
        raise PictureError(_unknown(file, formats)) from error
    except Image.DecompressionBombError as error:
        raise PictureError("has too many pixels: make it smaller") from error
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from error
    except (PictureError, MemoryError):
        raise
    except Exception as error:  # each of Pillow's decoders raises errors of its own
        raise PictureError(f"is damaged: {first_line(error)}") from error
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    values = np.array(image, np.float32)
    values = values.reshape(*values.shape[:2], -1)
    if np.ptp(values, axis=(0, 1)).max() < MIN_RANGE:
        raise PictureError("shows no digit: it has one colour")
    return values / np.float32(levels), longest / max(image.size)


def _opened(file: Path | IO[bytes]) -> contextlib.AbstractContextManager[IO[bytes]]:
    return files.reading(file) if isinstance(file, Path) else contextlib.nullcontext(file)


def _pixels_of_tiles(picture: Image.Image) -> int:
    """Return how many pixels a TIFF's tiles have, which all are decoded; 0 without any."""
    tags = getattr(picture, "tag_v2", {})
    width, height = (tags.get(number, 0) for number in (322, 323))  # TileWidth, TileLength
    return len(getattr(picture, "tile", ())) * int(width) * int(height)


def _register_heic() -> None:
    """Let Pillow read HEIC, if its plug-in is installed."""
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()


def _unknown(file: Path | IO[bytes], formats: Collection[str]) -> str:
    """Return what to say of a file that Pillow does not recognise."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            start = opened.read(12)
    else:
        file.seek(0)
        start = file.read(12)
    if start[4:8] == b"ftyp" and start[8:12] in HEIC:
        return "is a HEIC picture: save it as JPEG, or `pip install pillow-heif`"
    *most, last = [_NAMES.get(name, name) for name in formats if name not in MORE_FORMATS]
    return f"is not a {', '.join(most)} or {last} picture" if most else f"is not a {last} picture"
