"""A flag for each setting of `config.Config`."""

import dataclasses
import math
from typing import Any

from absl import flags

from lstm_mnist import config

flags.disclaim_key_flags()  # a flag belongs to the module that calls `define`
_FIELDS = {field.name: field for field in dataclasses.fields(config.Config)}


def define(name: str) -> flags.FlagHolder[Any]:
    """Define the flag of a setting; its default is None if a variant decides the setting."""
    setting, field = config.SETTINGS[name], _FIELDS[name]
    default, text = field.default, setting.help
    if name in config.OF_VARIANTS:
        default, text = None, f"{text} By default the variant's."
    if setting.choices:
        return flags.DEFINE_enum(name, default, setting.choices, text)
    if field.type is bool:
        return flags.DEFINE_bool(name, default, text)
    if field.type is int:
        maximum = None if math.isinf(setting.maximum) else int(setting.maximum)
        return flags.DEFINE_integer(name, default, text, int(setting.minimum), maximum)
    flag = flags.DEFINE_float(name, default, text)
    least = "above 0" if setting.minimum == config.POSITIVE else f"of {setting.minimum:g} or more"
    flags.register_validator(
        name,
        lambda value: value is None or setting.allows(value),
        f"must be a number {least}, and one that float32 can hold",
    )
    return flag
