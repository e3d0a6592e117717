"""The document's script: its text, and the two lines that seed it."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from errors import RecorderError

if TYPE_CHECKING:
    from pathlib import Path

# The script's text, the same in both versions of the document in its repository, of 2019-09-06 and
# of 2019-12-27.
SHA256 = "00accfe7ca32cfe4a5213e0a1441fa989500cf9f3024dbc3b467e2813608ec51"
ITERATIONS = 30  # of a complete run


class Script(NamedTuple):
    """The document's script."""

    text: str
    document_sha256: str
    sha256: str


def script_of(document: Path) -> Script:
    """Return the fenced Python block of the document's section 0x05.

    Raises RecorderError if the document is unreadable or does not have exactly one such block.
    """
    try:
        content = document.read_bytes()
        text = content.decode("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RecorderError(f"--document={document} cannot be read: {error}") from error
    blocks = [
        block
        for section in re.split(r"^(?=### )", text, flags=re.MULTILINE)
        if section.startswith("### 0x05 ")
        for block in re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    ]
    if len(blocks) != 1:
        raise RecorderError(
            f"--document={document} has {len(blocks)} fenced Python blocks in sections 0x05, not 1"
        )
    return Script(blocks[0], _sha256(content), _sha256(blocks[0].encode("utf-8")))


def seeded(script: str, seed: int) -> str:
    """Return the script with its two sources of randomness seeded, each by a line of its own.

    Raises RecorderError if it has no imports or initialises no variables.
    """
    lines = script.splitlines(keepends=True)
    imports = [n for n, line in enumerate(lines) if re.match(r"(import|from) ", line)]
    starts = [n for n, line in enumerate(lines) if "global_variables_initializer()" in line]
    if not imports or len(starts) != 1 or starts[0] < imports[-1]:
        raise RecorderError("the script does not import, then initialise its variables once")
    first, start = imports[-1] + 1, starts[0]
    indent = re.match(r"\s*", lines[start])[0]  # type: ignore[index]
    return "".join(
        [
            *lines[:first],
            f"tf.set_random_seed({seed})\n",
            *lines[first:start],
            f"{indent}import numpy; numpy.random.seed({seed})\n",
            *lines[start:],
        ]
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
