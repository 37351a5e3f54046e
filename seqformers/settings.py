"""Settings as people write them: YAML whose words stay words, and `key=value` on the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

__all__ = ["read_pair", "read_pairs", "read_yaml"]


class _Loader(yaml.SafeLoader):
    """YAML in which `1e-4` is a number and `no` a word (`eval_strategy: no`), as in YAML 1.2."""


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != _BOOL]
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
    return yaml.load(text, Loader=_Loader)


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
    except yaml.YAMLError as error:
        raise ValueError(f"cannot read the value of {word!r}: {error}") from error


def read_pairs(words: Iterable[str]) -> dict[str, Any]:
    """Read `key=value` words as the keyword arguments of a function: `-` in a key is `_`.

    Examples:
        >>> read_pairs(["gc-match=true", "seed=1"])
        {'gc_match': True, 'seed': 1}
    """
    return {key.replace("-", "_"): value for key, value in map(read_pair, words)}
