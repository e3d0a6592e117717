"""The checkpoints in a run's folder, and how to damage one."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoints/epoch-*"))


def saved(folder: Path) -> list[str]:
    """Return how far a run's checkpoints are, the oldest first."""
    return [path.name[: -len("-.npz") - 64] for path in paths(folder)]


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "truncated":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a checkpoint holds, and name it by its new digest."""
    with np.load(path) as arrays:
        stored: dict[str, Any] = {name: arrays[name] for name in arrays.files}
    stored["json"] = json.loads(str(stored["json"]))
    change(stored)
    stored["json"] = np.array(json.dumps(stored["json"]))
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **stored)
    content = buffer.getvalue()
    path.unlink()
    digest = hashlib.sha256(content).hexdigest()
    path.with_name(path.name[: -len("-.npz") - 64] + f"-{digest}.npz").write_bytes(content)
