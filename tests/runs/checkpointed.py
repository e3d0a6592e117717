"""The checkpoints in a run's folder, and how to damage one."""

from pathlib import Path


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
