"""Is a folder a complete and harmless Hub repository? Asked before anything is sent; needs no network."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, ModelCard, SpaceCard
from safetensors import SafetensorError, safe_open

__all__ = ["check_repository"]

_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{30,}")
_TEXT = {".md", ".json", ".jsonl", ".yaml", ".yml", ".txt", ".py", ".csv", ".tsv", ".toml", ".cfg", ".log", ""}


def check_repository(
    folder: str | Path,
    paths: Sequence[str],
    *,
    added: Collection[str] = (),
    repo_id: str,
    repo_type: str = "model",
) -> None:
    """Raise `ValueError` with everything that is wrong with the files `paths` of `folder` as a repository.

    Every repository needs a card with a metadata block, and must hold no token. A model needs its configuration,
    readable safetensors, and every file its `auto_map` names. A data set needs tables its card's `configs` find,
    and no script: clients refuse a repository with a `<name>.py`. `added` names files that join on the way.
    """
    folder = Path(folder)
    problems = _card_problems(folder, repo_type)
    if repo_type == "model":
        problems += _model_problems(folder, paths, added)
    elif repo_type == "dataset":
        problems += [f"{path}: a data repository must not hold code" for path in paths if path.endswith(".py")]
        if not any(path.endswith(".parquet") for path in paths):
            problems.append("there are no Parquet files")
    elif "app.py" not in paths:
        problems.append("app.py is missing")
    problems += [f"{path}: holds an access token of the Hub" for path in paths if _holds_token(folder / path)]
    if problems:
        kind = {"model": "model", "dataset": "data", "space": "Space"}[repo_type]
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise ValueError(f"{folder} cannot be pushed to {repo_id} as a {kind} repository:\n{listed}")


def _card_problems(folder: Path, repo_type: str) -> list[str]:
    path = folder / "README.md"
    if not path.is_file():
        return ["README.md is missing: a repository without a card is of no use to others"]
    card_class: Any = {"model": ModelCard, "dataset": DatasetCard, "space": SpaceCard}[repo_type]
    try:
        card = card_class(path.read_text(encoding="utf-8"))
    except Exception as error:  # YAML errors, wrong types, a malformed model-index: each library raises its own
        return [f"README.md: the card cannot be read: {str(error).splitlines()[0]}"]
    return [] if card.data.to_dict() else ["README.md: there is no metadata block (--- ... ---) at its head"]


def _model_problems(folder: Path, paths: Sequence[str], added: Collection[str]) -> list[str]:
    if "config.json" not in paths:
        return ["config.json is missing: this is no folder of a model"]
    problems = []
    for path in paths:
        if path.endswith(".json"):
            try:
                content = json.loads((folder / path).read_text(encoding="utf-8"))
            except ValueError as error:
                problems.append(f"{path}: not JSON ({error})")
                continue
            problems += _missing_code(path, content, {*paths, *added})
            problems += _missing_shards(path, content, paths)
        elif path.endswith(".safetensors"):
            problems += _unreadable_weights(folder, path)
    if not any(path.endswith(".safetensors") for path in paths):
        problems.append("there are no weights (model.safetensors)")
    return problems


def _missing_code(path: str, content: Any, paths: set[str]) -> list[str]:
    """Files of code that `auto_map` names; clients look for them at the top, for models in a subfolder too."""
    auto_map = content.get("auto_map", {}) if isinstance(content, dict) else {}
    references = [ref for value in auto_map.values() for ref in (value if isinstance(value, list) else [value]) if ref]
    needed = {f"{reference.split('.')[0]}.py" for reference in references if "--" not in reference}
    return [f"{name} is missing: auto_map in {path} names it" for name in sorted(needed - paths)]


def _missing_shards(path: str, content: Any, paths: Sequence[str]) -> list[str]:
    if not path.endswith(".safetensors.index.json"):
        return []
    return [f"{name} is missing: {path} names it" for name in sorted(set(content["weight_map"].values()) - set(paths))]


def _unreadable_weights(folder: Path, path: str) -> list[str]:
    try:
        with safe_open(folder / path, framework="np") as weights:
            weights.keys()
    except (SafetensorError, OSError) as error:
        return [f"{path}: cannot be read, perhaps cut short ({error})"]
    return []


def _holds_token(path: Path) -> bool:
    return path.suffix in _TEXT and path.stat().st_size < 64 << 20 and bool(_TOKEN.search(path.read_bytes()))
