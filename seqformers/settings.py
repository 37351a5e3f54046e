"""Settings as people write them: YAML whose words stay words, and `key=value` on the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

__all__ = ["read_pair", "read_pairs", "read_yaml"]

_MOST = 100_000


class _Loader(yaml.SafeLoader):
    """YAML in which `1e-4` is a number and `no` a word (`eval_strategy: no`), as in YAML 1.2."""


_BOOL = "tag:yaml.org,2002:bool"
# `no` and `2020-01-01` are words; where a truth value is wanted, `no` is read as one then.
_WORDS = (_BOOL, "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in _WORDS]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)$"),
    list("-+0123456789."),
)


def read_yaml(text: str) -> Any:
    """Parse YAML with `1e-4` as a number and `no` as a word.

    Examples:
        >>> read_yaml("{lr: 1e-4, eval_strategy: no, bf16: true}")
        {'lr': 0.0001, 'eval_strategy': 'no', 'bf16': True}
    """
    value = yaml.load(text, Loader=_Loader)
    _size(value, {})
    return value


def _size(value: Any, known: dict[int, int | None]) -> int:
    """Entries of a value with every alias written out; one that holds itself, or millions of others, is refused."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = None  # open
        inside = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(part, known) for part in inside)
    size = known[id(value)]
    if size is None:
        raise ValueError("an anchor (&name) of this YAML holds an alias (*name) of itself; write the value out")
    if size > _MOST:
        raise ValueError(f"the aliases of this YAML stand for more than {_MOST:,} entries; write the values out")
    return size


def read_pair(word: str) -> tuple[str, Any]:
    """Read one `key=value`, the value YAML (`true`, `0.1`, `[a, b]`, text).

    Examples:
        >>> read_pair("training.learning_rate=3e-4")
        ('training.learning_rate', 0.0003)
    """
    key, sign, text = word.partition("=")
    if not sign or not key:
        raise ValueError(f"cannot read {word!r}: write key=value, such as training.learning_rate=3e-4")
    try:
        return key, read_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot read the value of {word!r}: {' '.join(str(error).split())}") from error


def read_pairs(words: Iterable[str]) -> dict[str, Any]:
    """Read `key=value` words as the keyword arguments of a function: `-` in a key is `_`.

    Examples:
        >>> read_pairs(["gc-match=true", "seed=1"])
        {'gc_match': True, 'seed': 1}
    """
    return {key.replace("-", "_"): value for key, value in map(read_pair, words)}
