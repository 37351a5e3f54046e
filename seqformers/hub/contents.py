"""What a repository consists of: the files a run, a converted model, a data set or a Space has, and nothing else.

A folder of a model is also a place where people work: it collects keys, environments, logs and checkpoints. So files
go because their kind is known here, not because nothing speaks against them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from seqformers.files import MARK

__all__ = ["Contents", "PlannedFile", "contents_of", "is_pickle"]


@dataclass(frozen=True)
class PlannedFile:
    """One file of a push. `content` is what goes up in its place, where that differs from the file."""

    path: str
    source: Path
    size: int
    content: bytes | None = None

    def read(self) -> bytes:
        """What goes up."""
        return self.source.read_bytes() if self.content is None else self.content


@dataclass
class Contents:
    """Paths that belong to a repository, and the others: path (a folder ends in `/`) -> why it stays behind."""

    paths: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


_NOT_ASKED = "no part of a {kind}; --include sends it"
_SECRET, _PICKLE = "may hold secrets", "pickle"
# Never sent, whatever --include says.
_NEVER: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), why)
    for pattern, why in (
        (r"(^|/)checkpoint-\d+/", "intermediate checkpoint"),
        (r"(^|/)\.env(rc)?([./~_-]|$)|\.env$", _SECRET),
        (r"(^|/)[._](netrc|pypirc|npmrc|pgpass|my\.cnf|htpasswd|git-credentials|boto|s3cfg|dockercfg)$", _SECRET),
        (r"(^|/)\.(ssh|aws|azure|gcloud|gnupg|kube|docker|huggingface|config)/", _SECRET),
        (r"(^|/)(id|ssh)_(rsa|dsa|ecdsa|ed25519)", _SECRET),
        (
            r"(^|/)(credentials?|secrets?|stored_tokens?|tokens?|passwords?)(\.(json|ya?ml|toml|ini|txt|cfg|csv))?$",
            _SECRET,
        ),
        (r"\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk|asc|gpg|ovpn)$", _SECRET),
        (r"(^|/)\.[a-z_]*history$", _SECRET),
        (r"(^|/)(core|core\.\d+|[^/]*\.(core|dmp|stackdump))$", "memory of a crashed program"),
        (r"\.(bin|pt|pth|pkl|pickle|ckpt|joblib|dill|cpkl|sav)(\.|$)", _PICKLE),
        (r"\.partial(\.json)?(/|$)|\.(torn|new|tmp|incomplete|lock|swp)$", "unfinished, or of a running program"),
        (rf"(^|/)[^/]*{re.escape(MARK)}$", "note for this machine"),
        (r"(^|/)(\.git|\.hg|\.svn|\.cache|\.tox|\.nox|__pycache__|\.ipynb_checkpoints|\.mypy_cache)/", "of a tool"),
        (r"(^|/)(\.?venv[^/]*|node_modules|site-packages|wandb)/", "of a tool"),
        (r"(^|/)(events\.out\.tfevents[^/]*|\.DS_Store|Thumbs\.db)$", "of a tool"),
    )
)
_EVERY_KIND = r"README\.md|\.gitattributes|(LICEN[CS]E|NOTICE|COPYING)[^/]*|CITATION\.(cff|bib)"
_CODE = r"(configuration|modeling|processing|tokenization|portable)(_[a-z0-9_]+)?\.py"
_WEIGHTS = r"[\w-][\w.-]*\.safetensors(\.index\.json)?"
_DESCRIPTION = (
    r"(config|generation_config|adapter_config|preprocessor_config|processor_config|calibration)\.json"
    r"|chat_template\.(json|jinja)"
)
_TOKENIZER = (
    r"(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json|vocab\.txt|merges\.txt"
    r"|tokenizer\.model|(spiece|sentencepiece(\.bpe)?)\.model"
)
_MEASURED = (
    r"(metrics|trials|all_results|train_results|eval_results|test_results|trainer_state)\.json|(recipe|best)\.yaml"
    r"|predictions-[\w-]+\.parquet|training_log\.jsonl"
)
# Where the files of a model may lie: at the top, the stock form, the other seeds.
_PLACE = r"(portable/|seeds/\d+/|seeds/\d+/portable/)?"
_MODEL = (
    rf"{_PLACE}({_WEIGHTS}|{_DESCRIPTION}|{_TOKENIZER}|{_MEASURED}|{_CODE})|\.eval_results/[\w.-]+\.yaml|{_EVERY_KIND}"
)
_DATA = rf"([\w-][\w.-]*/)?[\w-][\w.-]*\.parquet|(report|build|dataset_infos)\.json|{_EVERY_KIND}"
_SPACE = rf"[\w-]+\.py|(settings|config)\.json|(requirements|packages)\.txt|model/({_MODEL}|[\w-]+\.py)|{_EVERY_KIND}"
_ALLOWED = {kind: re.compile(pattern) for kind, pattern in (("model", _MODEL), ("dataset", _DATA), ("space", _SPACE))}
_PICTURE = re.compile(r"\.(png|jpe?g|svg|gif|webp)$", re.IGNORECASE)


def contents_of(folder: Path, repo_type: str, include: Sequence[str] = ()) -> Contents:
    """Tell the files of a folder that belong to a repository from those that do not.

    Args:
        folder (`Path`): A run, a converted model, a data set or a Space.
        repo_type (`str`): `model`, `dataset` or `space`.
        include (`Sequence[str]`): Patterns (`figures/*.png`) of more files to send. Pickles and what may hold secrets
            stay behind all the same.

    Raises:
        ValueError: a file that would go is a link out of the folder; a pattern of `include` fits no file, or names
            one that is never sent.
    """
    named = _named_by_others(folder, repo_type)
    found, used = Contents(), set()
    for path in _walk(folder, found.left_out):
        patterns = {pattern for pattern in include if _fits(path, pattern)}
        used |= patterns
        why = next((why for pattern, why in _NEVER if pattern.search(path)), None)
        if why is None and path not in named and not _ALLOWED[repo_type].fullmatch(path) and not patterns:
            why = _NOT_ASKED.format(kind=_WORDS[repo_type])
        elif why is None:
            _refuse_link_out(folder, path)
            why = _PICKLE if is_pickle(folder / path) else None
        if why is None:
            found.paths.append(path)
        elif path in patterns:
            raise ValueError(f"--include {path}: it is never sent ({why})")
        else:
            found.left_out[path] = why
    if missing := [pattern for pattern in include if pattern not in used]:
        raise ValueError(f"--include {missing[0]}: no file of {folder} that may be sent fits (as figures/*.png would)")
    found.left_out = _by_folder(found)
    return found


def _by_folder(found: Contents) -> dict[str, str]:
    """`left_out` with one entry for a folder of which nothing goes and all stays behind for one reason."""
    going = {str(parent) for path in found.paths for parent in PurePosixPath(path).parents}
    whole: dict[str, list[str]] = {}
    for path in found.left_out:
        top = next(
            (str(p) for p in reversed(PurePosixPath(path).parents) if str(p) != "." and str(p) not in going), ""
        )
        whole.setdefault(top, []).append(path)
    out = {}
    for top, paths in whole.items():
        reasons = {found.left_out[path] for path in paths}
        if top and len(paths) > 3 and len(reasons) == 1:
            out[f"{top}/"] = f"{len(paths):,} files, {reasons.pop()}"
        else:
            out |= {path: found.left_out[path] for path in paths}
    return dict(sorted(out.items()))


_WORDS = {"model": "model", "dataset": "data set", "space": "Space"}


def _walk(folder: Path, left_out: dict[str, str]) -> Iterator[str]:
    """Files below `folder` in order; a folder that is never sent is not entered but noted in `left_out`."""
    for root, folders, files in os.walk(folder):
        here = PurePosixPath(Path(root).relative_to(folder).as_posix())
        for name in sorted(folders):
            path = f"{here / name}/"
            why = next((why for pattern, why in _NEVER if pattern.search(path)), None)
            if Path(root, name).is_symlink():  # nobody follows it: what is behind it is not of this folder
                why = "link to a folder"
            if why:
                folders.remove(name)
                left_out[path] = why
        folders.sort()
        yield from (str(here / name) for name in sorted(files) if Path(root, name).is_file())


def _fits(path: str, pattern: str) -> bool:
    pattern = pattern.removeprefix("./")
    return fnmatchcase(path, pattern) or (pattern.endswith("/") and path.startswith(pattern))


def _refuse_link_out(folder: Path, path: str) -> None:
    if not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{path} is a link that leads out of {folder}; replace it by the file or delete it")


def _named_by_others(folder: Path, repo_type: str) -> set[str]:
    """Files that belong because one of the others names them: code, shards, pictures of the card, tables of data."""
    card = _text(folder / "README.md")
    names = {name for name in re.findall(r"[\w./-]+", card) if _PICTURE.search(name) and (folder / name).is_file()}
    if repo_type == "model":
        names |= _code_of(folder)
    if repo_type == "dataset":
        for pattern in _data_files(card):
            names |= {
                path.relative_to(folder).as_posix() for path in _glob(folder, pattern) if path.suffix == ".parquet"
            }
    return {name.removeprefix("./") for name in names if ".." not in name}


def _code_of(folder: Path) -> set[str]:
    """Python files that an `auto_map` names, and those they import from beside them."""
    stems: set[str] = set()
    for name in ("config.json", "tokenizer_config.json", "processor_config.json"):
        try:
            auto_map = json.loads(_text(folder / name)).get("auto_map") or {}
            values = [ref for value in auto_map.values() for ref in (value if isinstance(value, list) else [value])]
        except (ValueError, AttributeError):  # the checks say what is wrong with it
            continue
        stems |= {str(ref).partition(".")[0] for ref in values if ref and "--" not in str(ref)}
    waiting, names = sorted(stems), set()
    while waiting:
        name = f"{waiting.pop()}.py"
        if name not in names and (folder / name).is_file():
            names.add(name)
            waiting += re.findall(r"^\s*from\s+\.(\w+)\s+import", _text(folder / name), re.MULTILINE)
    return names


def _data_files(card: str) -> Iterator[str]:
    """Patterns of tables in the metadata of a data card."""
    head = card.split("---\n")[1] if card.startswith("---\n") and card.count("---\n") > 1 else ""
    try:
        entries = yaml.safe_load(head).get("configs") or []
        files = [entry["data_files"] for entry in entries]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):  # the checks say what is wrong with it
        return
    for value in files:
        for item in value if isinstance(value, list) else [value]:
            paths = item.get("path", []) if isinstance(item, dict) else item
            yield from (str(path) for path in (paths if isinstance(paths, list) else [paths]))


def _glob(folder: Path, pattern: str) -> Collection[Path]:
    try:
        return list(folder.glob(pattern))
    except (ValueError, NotImplementedError):  # an address, an absolute path, nothing
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def is_pickle(path: Path) -> bool:
    """Whether a file is a pickle by its first bytes, whatever its name: Python's own, or torch's in an archive."""
    try:
        with path.open("rb") as file:
            head: Any = file.read(4096)
    except OSError:
        return False
    is_python = len(head) > 2 and head[0] == 0x80 and head[1] in range(2, 6)
    return is_python or (head.startswith(b"PK\x03\x04") and b"/data.pkl" in head)
