"""Who imports whom in the package, read from the sources: at the top, inside functions, relative or for types only.

import-linter cannot do this here: it looks for sub-packages below the folder of `seqformers`, and three of them stand
beside it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping

from tests.conftest import ROOT

_FOLDERS = {
    "seqformers": "seqformers",
    "datasets_scripts": "seqformers.datasets_scripts",
    "modeling": "seqformers.modeling",
    "tokenization": "seqformers.tokenization",
}
_LOWER = {"datasets_scripts", "modeling", "tokenization"}
_SUBJECT = {"clusters", "files", "settings", "tables", "shards", "metrics", "hub", "inference", "pictures", *_LOWER}

# Room -> the rooms that it may import from. The way of the data: sequences, tokens, model, training, run folder, use.
ALLOWED: dict[str, set[str]] = {
    "modeling": set(),
    "tokenization": set(),
    "datasets_scripts": {"tokenization"},
    "_families": set(),
    "_registration": {"_families"},
    "seqformers": {"_families", "_registration"},
    "files": set(),
    "settings": {"files"},
    "tables": {"files", "datasets_scripts"},
    "shards": {"files", "tables", "datasets_scripts"},
    "dataset_shards": {"shards"},
    "clusters": {"files", "shards", "datasets_scripts"},
    "merging": {"shards", "datasets"},
    "metrics": set(),
    "pictures": set(),
    "hub": {"_families", "files", "tables", *_LOWER},
    "convert": {"_families", "files", "hub", *_LOWER},
    "datasets": {"clusters", "dataset_shards", "files", "settings", "shards", "tables", "hub", *_LOWER},
    "dataset_pictures": {"files", "pictures", *_LOWER},
    "training": {"_families", "files", "pictures", "settings", "tables", "metrics", "datasets", "hub", *_LOWER},
    "inference": {"clusters", "files", "pictures", "settings", "shards", "tables", "hub", *_LOWER},
    "targets": _SUBJECT,
    "guides": _SUBJECT,
    "proteins": _SUBJECT,
    "phages": _SUBJECT,
    "interpret": _SUBJECT,
    "doctor": {"guides", "hub", "phages", "proteins", "targets"},
    "cli": {
        "doctor",
        "files",
        "settings",
        "tables",
        "datasets",
        "dataset_pictures",
        "pictures",
        "hub",
        "convert",
        "training",
        "inference",
        "interpret",
        "merging",
    }
    | {"targets", "guides", "phages", "proteins", *_LOWER},
}
# Rooms that do not know each other, not through a third one either.
STRANGERS = [("training", "inference"), ("training", "interpret")]


def sources() -> dict[str, str]:
    """Module name -> its text, for every module of the package."""
    found = {}
    for folder, package in _FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = [package, *path.relative_to(ROOT / folder).with_suffix("").parts]
            found[".".join(part for part in parts if part != "__init__")] = path.read_text(encoding="utf-8")
    return found


def packages() -> set[str]:
    """Names of the modules that are packages, against which relative imports count differently."""
    found = set()
    for folder, package in _FOLDERS.items():
        for path in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join([package, *path.parent.relative_to(ROOT / folder).parts]))
    return found


def graph(texts: Mapping[str, str]) -> dict[str, set[str]]:
    """Module -> modules of the package that it imports, wherever the import stands."""
    known, roots = set(texts), packages()
    return {
        name: {found for wanted in _imports(name, text, name in roots) if (found := _module(wanted, known)) != name}
        for name, text in texts.items()
    }


def _imports(name: str, text: str, is_package: bool) -> Iterator[str]:
    """Dotted names below `seqformers` that a module imports; of `from x import y` it is `x.y`."""
    here = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(ast.parse(text)):
        wanted: list[str] = []
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            base += [node.module] if node.module else []
            wanted = [".".join([*base, alias.name]) for alias in node.names]
        yield from (full for full in wanted if full.partition(".")[0] == "seqformers")


def _module(wanted: str, known: set[str]) -> str:
    """The module that a dotted name is or is in."""
    while wanted not in known and "." in wanted:
        wanted = wanted.rpartition(".")[0]
    return wanted


def room(module: str) -> str:
    """The part of the package a module belongs to."""
    return module.split(".")[1] if "." in module else module


def wrong_arrows(imports: Mapping[str, set[str]]) -> list[str]:
    """Imports from a room that this one may not know, and from one family folder into another."""
    wrong = []
    for name, targets in imports.items():
        for target in targets:
            folder = name.split(".")[:3]
            if room(name) == room(target):
                if room(name) == "modeling" and target.split(".")[:3] != folder:
                    wrong.append(f"{name} -> {target}")
            elif room(target) not in ALLOWED.get(room(name), set()):
                wrong.append(f"{name} -> {target}")
    return sorted(wrong)


def known_by_detour(imports: Mapping[str, set[str]]) -> list[str]:
    """Ways from a room of `STRANGERS` to the other one, through whatever lies between."""
    found = []
    for one, other in STRANGERS:
        for start, end in ((one, other), (other, one)):
            for name in imports:
                if room(name) == start and (way := _way(imports, name, end)):
                    found.append(" -> ".join(way))
    return found


def _way(imports: Mapping[str, set[str]], start: str, end: str) -> list[str]:
    """A shortest way from a module to any module of a room; empty where there is none."""
    before: dict[str, str] = {start: ""}
    waiting = [start]
    for name in waiting:
        if room(name) == end:
            way = [name]
            while before[way[-1]]:
                way.append(before[way[-1]])
            return way[::-1]
        for target in sorted(imports.get(name, set()) - before.keys()):
            before[target] = name
            waiting.append(target)
    return []


def circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others."""
    reached = {name: _reached(imports, name) for name in imports}
    groups: dict[frozenset[str], None] = defaultdict()
    for name in imports:
        group = frozenset(other for other in reached[name] if name in reached.get(other, set()))
        if group:
            groups[group] = None
    return [sorted(group) for group in groups]


def _reached(imports: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(imports[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imports.get(name, set())
    return found
