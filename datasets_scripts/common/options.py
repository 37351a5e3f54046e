"""Check the options of a builder against the types its configuration declares."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Union, get_args, get_origin, get_type_hints

import datasets

__all__ = ["check_options"]

_BASE = {field.name for field in dataclasses.fields(datasets.BuilderConfig)}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "nothing"}


def check_options(config: datasets.BuilderConfig) -> None:
    """Raise `ValueError` naming the first option whose value has another type than its field declares.

    A list is taken for a tuple and a whole number for a float, and stored as such; a word is never a truth value.

    Args:
        config (`datasets.BuilderConfig`): A dataclass whose annotations say the types.
    """
    hints = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        if field.name not in _BASE:
            value = getattr(config, field.name)
            fits, value = _fit(value, hints[field.name])
            if not fits:
                raise ValueError(
                    f"{field.name} is {value!r}, expected {_said(hints[field.name])} (default: {_default(field)!r})"
                )
            setattr(config, field.name, value)


def _fit(value: Any, wanted: Any) -> tuple[bool, Any]:
    """Whether `value` is of the type, and the value as that type."""
    origin, inside = get_origin(wanted), get_args(wanted)
    if wanted is Any:
        return True, value
    if origin in (Union, types.UnionType):
        return next((found for part in inside if (found := _fit(value, part))[0]), (False, value))
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            return False, value
        parts = [_fit(part, inside[0]) for part in value]
        return all(fits for fits, _ in parts), tuple(part for _, part in parts)
    if origin is dict:
        return isinstance(value, dict) and all(
            _fit(key, inside[0])[0] and _fit(part, inside[1])[0] for key, part in value.items()
        ), value
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return True, float(value)
    if wanted is int and isinstance(value, bool):
        return False, value
    return isinstance(value, origin or wanted), value


def _said(wanted: Any) -> str:
    origin, inside = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return " or ".join(_said(part) for part in inside)
    if origin is tuple:
        return f"a list of {_said(inside[0])}"
    if origin is dict:
        return "a mapping"
    return _WORDS.get(wanted, str(wanted))


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if callable(field.default_factory) else field.default
