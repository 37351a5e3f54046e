"""Check the options of a builder against the types its configuration declares."""

from __future__ import annotations

import dataclasses
import sys
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import datasets

__all__ = ["as_declared", "check_options", "said_type"]

_BASE = {field.name for field in dataclasses.fields(datasets.BuilderConfig)}
_TRUTH = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "nothing"}


def check_options(config: datasets.BuilderConfig) -> None:
    """Raise `ValueError` naming the first option whose value has another type than its field declares.

    A list is taken for a tuple and a whole number for a float, and stored as such; of words
    only yes, no, on, off, true, false are truth values.

    Args:
        config (`datasets.BuilderConfig`): A dataclass whose annotations say the types.
    """
    hints = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        if field.name not in _BASE:
            value = getattr(config, field.name)
            fits, value = as_declared(value, hints[field.name])
            if not fits:
                expected = said_type(hints[field.name])
                raise ValueError(f"{field.name} is {value!r}, expected {expected} (default: {_default(field)!r})")
            setattr(config, field.name, value)


def as_declared(value: Any, wanted: Any) -> tuple[bool, Any]:
    """Whether `value` is of the type `wanted`, and the value as that type.

    A whole number passes for a float, a list for a tuple, and the words of YAML 1.1 (`yes`, `no`, `on`, `off`) for a
    truth value, where no text is wanted.

    Examples:
        >>> as_declared("no", bool), as_declared(1, float), as_declared("abc", int)
        ((True, False), (True, 1.0), (False, 'abc'))
    """
    origin, inside = get_origin(wanted), get_args(wanted)
    if wanted is Any:
        return True, value
    if origin is Literal:
        return value in inside, value
    if wanted is bool and isinstance(value, str) and value.lower() in _TRUTH:
        return True, _TRUTH[value.lower()]
    if origin in (Union, types.UnionType):
        kinds = sorted(inside, key=lambda part: part is not str)  # text is text wherever it may be
        return next((found for part in kinds if (found := as_declared(value, part))[0]), (False, value))
    if origin in (tuple, list):
        if not isinstance(value, (list, tuple)):
            return False, value
        items = [as_declared(part, inside[0]) for part in value]
        return all(fits for fits, _ in items), origin(part for _, part in items)
    if origin is dict:
        return isinstance(value, dict) and all(
            as_declared(key, inside[0])[0] and as_declared(part, inside[1])[0] for key, part in value.items()
        ), value
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= sys.float_info.max, float(value) if abs(value) <= sys.float_info.max else value
    if wanted is int and isinstance(value, bool):
        return False, value
    return isinstance(value, origin or wanted), value


def said_type(wanted: Any) -> str:
    """A type in the words of an error message."""
    origin, inside = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return " or ".join(said_type(part) for part in inside)
    if origin in (tuple, list):
        return f"a list of {said_type(inside[0])}"
    if origin is dict or wanted is dict:
        return "a mapping"
    if origin is Literal:
        return f"one of {', '.join(map(str, inside))}"
    return _WORDS.get(wanted, str(wanted))


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if callable(field.default_factory) else field.default
