"""Render the table of settings into docs/settings.md: `python -m benchmarks.settings`."""

import dataclasses
import math
from pathlib import Path

from lstm_mnist import config
from lstm_mnist.system import files

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
BEGIN = "<!-- Rendered by `python -m benchmarks.settings`. -->\n"


def main() -> None:
    """Write the page's table anew."""
    files.write_text(PAGE, rendered(PAGE.read_text(encoding="utf-8")))


def rendered(page: str) -> str:
    """Return the page with the table, which is its last part."""
    return f"{page.partition(BEGIN)[0]}{BEGIN}{table()}"


def table() -> str:
    """Return the table in Markdown."""
    lines = [
        "| setting | flag | default | source | values | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for field in dataclasses.fields(config.Config):
        setting = config.SETTINGS[field.name]
        default = f"{field.default}"
        if field.name in config.OF_VARIANTS:
            default += ", or the variant's"
        flag = "network" if field.name in config.OF_NETWORKS else field.name
        lines.append(
            f"| `{field.name}` | `--{flag}` | {default} | {setting.source} "
            f"| {_values(field.type, setting)} | {setting.help} |"
        )
    return "\n".join(lines) + "\n"


def _values(kind: object, setting: config.Setting) -> str:
    if setting.choices:
        return ", ".join(setting.choices)
    if kind is bool:
        return "True, False"
    if setting.minimum == config.POSITIVE:
        return "above 0"
    if math.isinf(setting.maximum):
        return f"from {setting.minimum}"
    return f"{setting.minimum} to {setting.maximum}"


if __name__ == "__main__":
    main()
