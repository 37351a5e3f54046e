"""Recipes that differ little, as a list: `base`, and `runs` by name with what each changes.

One comes out as a file:

    python -m benchmarks.recipe_lists benchmarks/recipes/virbert/lists/trials.yaml 13 > trial-13.yaml
    python -m benchmarks.recipe_lists benchmarks/recipes/virbert/lists/trials.yaml    # names and titles

Any other key of a run (`title`, `probe`) is for the command that runs the list.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqformers.settings import read_yaml
from seqformers.training.recipe import load_recipe


def read_list(path: Path) -> dict[str, dict[str, Any]]:
    """The runs of a list, each with its whole `recipe`."""
    found = read_yaml(path.read_text(encoding="utf-8"))
    return {
        str(name): {**run, "recipe": laid_over(found["base"], run.get("recipe", {}))}
        for name, run in found["runs"].items()
    }


def laid_over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings are merged; a change of `type` starts its mapping anew, since the other keys were of the old type."""
    if changes.get("type", base.get("type")) != base.get("type"):
        return copy.deepcopy(dict(changes))
    out = copy.deepcopy(dict(base))
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = laid_over(out[key], value) if both else copy.deepcopy(value)
    return out


def main() -> None:
    path, *names = sys.argv[1:]
    runs = read_list(Path(path))
    if not names:
        print("\n".join(f"{name}\t{run.get('title', '')}" for name, run in runs.items()))
        return
    if names[0] not in runs:
        raise SystemExit(f"{path} has no run {names[0]!r}; there are: {', '.join(runs)}")
    print(load_recipe(runs[names[0]]["recipe"]).to_yaml(), end="")


if __name__ == "__main__":
    main()
