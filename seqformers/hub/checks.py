"""Is a folder a complete and harmless Hub repository? Asked before anything is sent; needs no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, ModelCard, SpaceCard
from safetensors import SafetensorError, safe_open

from seqformers.hub.contents import PlannedFile
from seqformers.hub.private import find_secrets

__all__ = ["check_repository"]


def check_repository(
    folder: str | Path, files: Sequence[PlannedFile], *, repo_id: str, repo_type: str = "model"
) -> None:
    """Raise `ValueError` with everything that is wrong with `files` of `folder` as a repository.

    Every repository needs a card with a metadata block, and must hold no secret. A model needs its configuration,
    readable safetensors, and every file its `auto_map` names. A data set needs tables its card's `configs` find,
    and no script: clients refuse a repository with a `<name>.py`.
    """
    folder = Path(folder)
    paths = [file.path for file in files]
    problems = _card_problems(folder, repo_type)
    if repo_type == "model":
        problems += _model_problems(files)
    elif repo_type == "dataset":
        problems += [f"{path}: a data repository must not hold code" for path in paths if path.endswith(".py")]
        if not any(path.endswith(".parquet") for path in paths):
            problems.append("there are no Parquet files")
    elif "app.py" not in paths:
        problems.append("app.py is missing")
    for file in files:
        problems += [f"{file.path}: holds {found}" for found in find_secrets(file.path, file.source, file.content)]
    if problems:
        kind = {"model": "model", "dataset": "data", "space": "Space"}[repo_type]
        listed = "\n".join(f"  - {problem}" for problem in problems)
        where = "" if repo_id == "." else f" to {repo_id}"
        raise ValueError(f"{folder} cannot be pushed{where} as a {kind} repository:\n{listed}")


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


def _model_problems(files: Sequence[PlannedFile]) -> list[str]:
    paths = [file.path for file in files]
    if "config.json" not in paths:
        return ["config.json is missing: this is no folder of a model"]
    problems = []
    for file in files:
        if file.path.endswith(".json"):
            try:
                content = json.loads(file.read())
            except ValueError as error:
                problems.append(f"{file.path}: not JSON ({error})")
                continue
            problems += _missing_code(file.path, content, set(paths))
            problems += _missing_shards(file.path, content, paths)
        elif file.path.endswith(".safetensors"):
            problems += _unreadable_weights(file)
    if not any(path.endswith(".safetensors") for path in paths):
        problems.append("there are no weights (model.safetensors)")
    return problems


def _missing_code(path: str, content: Any, paths: set[str]) -> list[str]:
    """Files of code that `auto_map` names; clients look for them at the top, for models in a subfolder too."""
    auto_map = (content.get("auto_map") or {}) if isinstance(content, dict) else {}
    references = [ref for value in auto_map.values() for ref in (value if isinstance(value, list) else [value]) if ref]
    needed = {f"{reference.split('.')[0]}.py" for reference in references if "--" not in reference}
    return [f"{name} is missing: auto_map in {path} names it" for name in sorted(needed - paths)]


def _missing_shards(path: str, content: Any, paths: Sequence[str]) -> list[str]:
    if not path.endswith(".safetensors.index.json"):
        return []
    shards = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(shards, dict):
        return [f"{path}: has no weight_map"]
    place = path.rpartition("/")[0]
    needed = {f"{place}/{name}".removeprefix("/") for name in shards.values()}
    return [f"{name} is missing: {path} names it" for name in sorted(needed - set(paths))]


def _unreadable_weights(file: PlannedFile) -> list[str]:
    try:
        with safe_open(file.source, framework="np") as weights:
            weights.keys()
    except (SafetensorError, OSError) as error:
        return [f"{file.path}: cannot be read, perhaps cut short ({error})"]
    return []
