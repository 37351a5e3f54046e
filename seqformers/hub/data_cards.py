"""One data repository, several configurations: each is built alone, and a push must not forget the others."""

from __future__ import annotations

import re
from typing import Any

from huggingface_hub import DatasetCard

__all__ = ["merge_data_cards"]

_BUILD_SECTION = re.compile(r"^## This build: `([^`]+)`.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def merge_data_cards(here: str, there: str) -> str:
    """The card to push: `here`, with the configurations that only the card on the Hub (`there`) describes.

    Their `configs` and `dataset_info` entries and their sections are kept; what `here` describes replaces what
    `there` said of it. The default configuration stays the one on the Hub.

    Args:
        here (`str`): Card of the folder being pushed.
        there (`str`): Card on the Hub.

    Returns:
        `str`: Text of `README.md`; `here` unchanged where there is nothing to keep.
    """
    new, old = DatasetCard(here), DatasetCard(there)
    ours, theirs = new.data.to_dict(), old.data.to_dict()
    names = [entry["config_name"] for entry in ours.get("configs", [])]
    kept = [entry for entry in theirs.get("configs", []) if entry["config_name"] not in names]
    if not kept:
        return here
    kept_names = {entry["config_name"] for entry in kept}
    configs = [dict(entry) for entry in ours["configs"]]
    if any(entry.get("default") for entry in kept):
        configs = [{key: value for key, value in entry.items() if key != "default"} for entry in configs]
    infos = [info for info in _infos(theirs) if info.get("config_name", "default") in kept_names]
    new.data.configs = sorted([*kept, *configs], key=lambda entry: entry["config_name"])
    new.data.dataset_info = sorted([*infos, *_infos(ours)], key=lambda info: info.get("config_name", "default"))
    sections = [match[0].rstrip() for match in _BUILD_SECTION.finditer(old.text) if match[1] in kept_names]
    new.text = "\n\n".join([new.text.rstrip(), *sections]) + "\n"
    return str(new)


def _infos(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """`dataset_info` is a list, or one mapping where there is one configuration."""
    infos = metadata.get("dataset_info", [])
    return [infos] if isinstance(infos, dict) else list(infos)
