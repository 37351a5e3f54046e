"""Push a finished folder to the Hub: check it, send what changed in one commit, compare, tag.

A run folder and what `convert` writes are complete repositories already, and nothing in the folder is touched; a model
of ours without its code (those in the package) is sent with it. What a repository of its kind consists of goes
(`seqformers.hub.contents`), the rest is listed. The checks come before the first byte is sent; the files appear in
one commit or not at all; a push that was cut off is completed by the next one, which finds the large files that had
arrived and tags what has no tag.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import transformers
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from seqformers._families import FAMILIES
from seqformers.hub.checks import check_repository
from seqformers.hub.contents import PlannedFile, contents_of
from seqformers.hub.data_cards import merge_data_cards
from seqformers.hub.errors import clear_hub_errors
from seqformers.hub.private import without_folders
from seqformers.hub.repository import code_files

__all__ = [
    "PlannedFile",
    "PushPlan",
    "PushResult",
    "kind_of",
    "loading_snippet",
    "plan_folder",
    "plan_push",
    "push_to_hub",
]

# Texts in which programs note where something lay: not those with patterns of their own (tokenizer.json).
_NOTES = re.compile(
    r"README\.md|(recipe|best)\.yaml|training_log\.jsonl|(metrics|trials|build|report|trainer_state)\.json"
    r"|(config|generation_config|adapter_config|tokenizer_config|processor_config)\.json"
)
_STALE_WEIGHTS = re.compile(r"(portable/)?[^/]*\.safetensors(\.index\.json)?")


@dataclass(frozen=True)
class PushPlan:
    """What a push would send (`files`) and leave behind (`left_out`: path -> reason)."""

    folder: Path
    repo_type: str
    files: list[PlannedFile]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class PushResult:
    """Where a push ended up. `changed` is False when the Hub had everything already."""

    repo_id: str
    url: str
    commit: str
    changed: bool
    tag: str | None
    pull_request: str | None
    plan: PushPlan
    snippet: str


def kind_of(folder: str | Path) -> str:
    """Tell from its files whether a folder is a `model`, a `dataset` or a `space`."""
    folder = Path(folder)
    if (folder / "config.json").exists():
        return "model"
    return "space" if (folder / "app.py").exists() else "dataset" if any(folder.rglob("*.parquet")) else "model"


def plan_push(folder: str | Path, repo_id: str, *, repo_type: str = "model", include: Sequence[str] = ()) -> PushPlan:
    """Check a folder and list what would be pushed. Nothing is sent; no network is needed.

    Args:
        folder (`str` or `Path`): A run folder, a converted model, a data repository or a Space.
        repo_id (`str`): `user/name`; loading examples in the card that say `"."` are pointed at it.
        repo_type (`str`): `model`, `dataset` or `space`.
        include (`Sequence[str]`): Patterns (`figures/*.png`) of files to send beside those of its kind.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: `repo_id` is no name of a repository, or the folder is not a complete repository; the message lists
            everything that is wrong.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"{repo_id!r} is no name for a repository: {str(error).splitlines()[0]}") from None
    return plan_folder(folder, repo_id, repo_type=repo_type, include=include)


def plan_folder(
    folder: str | Path, repo_id: str = ".", *, repo_type: str = "model", include: Sequence[str] = ()
) -> PushPlan:
    """As [`plan_push`], for a folder that need not have a name on the Hub."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; give the folder a run or `seqformers convert` has written")
    contents = contents_of(folder, repo_type, include)
    files = [_planned(folder, path, repo_id) for path in contents.paths]
    code = _code_of(folder, contents.paths) if repo_type == "model" else {}
    files = [file for file in files if file.path not in code]
    files += [_planned(folder, path, repo_id, content) for path, content in code.items()]
    check_repository(folder, files, repo_id=repo_id, repo_type=repo_type)
    return PushPlan(folder, repo_type, sorted(files, key=lambda file: file.path), contents.left_out)


def _planned(folder: Path, path: str, repo_id: str, content: bytes | None = None) -> PlannedFile:
    """A file as it goes: loading examples of a card name the repository, notes of a run no folder of this machine."""
    source = folder / path
    if not _NOTES.fullmatch(Path(path).name):
        return PlannedFile(path, source, source.stat().st_size if content is None else len(content), content)
    text = (source.read_bytes() if content is None else content).decode("utf-8", errors="surrogateescape")
    changed = without_folders(text)
    if path == "README.md":
        changed = re.sub(r'((?:from_pretrained|pipeline|load_dataset)\([^)\n]*?)"\."', rf'\1"{repo_id}"', changed)
    if changed != text:
        content = changed.encode("utf-8", errors="surrogateescape")
    return PlannedFile(path, source, source.stat().st_size if content is None else len(content), content)


def push_to_hub(
    folder: str | Path,
    repo_id: str,
    *,
    repo_type: str = "model",
    include: Sequence[str] = (),
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    tag: str | None = None,
    message: str | None = None,
    overwrite: bool = False,
    token: str | None = None,
) -> PushResult:
    """Push a folder to the Hub; the repository is made when it is missing.

    Args:
        folder (`str` or `Path`): A run folder, a converted model, or a data repository. It is only read.
        repo_id (`str`): `user/name`, or `name` for your own account.
        repo_type (`str`): `model`, `dataset` or `space`.
        include (`Sequence[str]`): Patterns (`figures/*.png`) of files to send beside those of its kind.
        private (`bool`): Make a new repository private.
        revision (`str`, *optional*): Branch to push to, made when missing; `main` when absent.
        create_pr (`bool`): Open a pull request instead of pushing.
        tag (`str`, *optional*): Tag of this version; when absent the next free one of `v1`, `v2`, ... A push that
            goes to a branch or opens a pull request gets only the tag that was asked for, and one that changes nothing
            a new one only if what is there has none (its push was cut off before the tag).
        message (`str`, *optional*): Commit message.
        overwrite (`bool`): Push even where the repository holds a model of another family.
        token (`str`, *optional*): When absent, `HF_TOKEN` or what `hf auth login` stored.

    Returns:
        `PushResult`: commit, tag, and the code that loads it.

    Raises:
        ValueError: the folder is incomplete, the card is invalid, or another model lives there.
        OSError: the Hub refused or could not be reached, or what arrived is not what was sent.
    """
    plan = plan_push(folder, repo_id, repo_type=repo_type, include=include)
    api = HfApi(token=token, library_name="seqformers")
    with clear_hub_errors(repo_id, api):
        space = {"space_sdk": "gradio"} if repo_type == "space" else {}
        repo_id = api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True, **space).repo_id
        plan = _pointed_at(plan, repo_id)  # now with the full name
        if tag and tag in _tags(api, repo_id, repo_type):
            raise ValueError(f"{repo_id} has a tag {tag!r} already; choose another")
        if revision and not create_pr:
            api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
        parent = api.repo_info(repo_id, repo_type=repo_type, revision=revision).sha
        remote = {entry.path: entry for entry in _remote_files(api, repo_id, repo_type, parent)}
        if not overwrite:
            _refuse_another_model(api, plan, repo_id, parent, remote)
        if repo_type == "dataset" and "README.md" in remote:
            plan = _with_other_configurations(api, plan, repo_id, parent)
        operations: list[Any] = [
            CommitOperationAdd(file.path, file.content if file.content is not None else file.source)
            for file in plan.files
        ]
        operations += [CommitOperationDelete(path) for path in _stale(plan, remote)]
        with warnings.catch_warnings():  # a run's predictions belong beside its model
            warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
            commit = api.create_commit(
                repo_id,
                operations,
                commit_message=message or f"Push {plan.folder.resolve().name} with seqformers",
                repo_type=repo_type,
                revision=revision,
                parent_commit=parent,
                create_pr=create_pr,
            )
        changed = commit.oid != parent
        _compare(plan, {entry.path: entry for entry in _remote_files(api, repo_id, repo_type, commit.oid)})
        if tag is None and not create_pr and revision in (None, "main"):
            tags = _tags(api, repo_id, repo_type)
            tag = None if commit.oid in tags.values() else _next_tag(tags)
        if tag is not None:
            api.create_tag(repo_id, tag=tag, revision=commit.oid, repo_type=repo_type, exist_ok=False)
    url = f"{api.endpoint}/{'' if repo_type == 'model' else repo_type + 's/'}{repo_id}"
    snippet = loading_snippet(plan, repo_id, revision=tag or revision)
    return PushResult(repo_id, url, commit.oid, changed, tag, commit.pr_url, plan, snippet)


def _pointed_at(plan: PushPlan, repo_id: str) -> PushPlan:
    """The plan for a repository whose full name is known now."""
    files = [_planned(plan.folder, file.path, repo_id) if file.path == "README.md" else file for file in plan.files]
    return replace(plan, files=files)


def loading_snippet(plan: PushPlan, repo_id: str, *, revision: str | None = None) -> str:
    """The Python code that loads what was pushed."""
    pinned = f', revision="{revision}"' if revision else ""
    if plan.repo_type == "dataset":
        return f'from datasets import load_dataset\n\ndata = load_dataset("{repo_id}"{pinned})'
    if plan.repo_type == "space":
        return f"https://huggingface.co/spaces/{repo_id}"
    config = json.loads(next(file for file in plan.files if file.path == "config.json").read())
    remote = ", trust_remote_code=True" if "auto_map" in config else ""
    architecture = (config.get("architectures") or [""])[0]
    auto = _auto_class(config, architecture)
    if auto is None:
        return f'from seqformers import {architecture}\n\nmodel = {architecture}.from_pretrained("{repo_id}"{pinned})'
    names = {file.path for file in plan.files}
    loader = "AutoTokenizer" if "tokenizer_config.json" in names else None
    loader = "AutoProcessor" if "processor_config.json" in names else loader
    lines = [f"from transformers import {', '.join(sorted(filter(None, [auto, loader])))}", ""]
    lines.append(f'model = {auto}.from_pretrained("{repo_id}"{pinned}{remote})')
    if loader:
        name = "tokenizer" if loader == "AutoTokenizer" else "processor"
        lines.append(f'{name} = {loader}.from_pretrained("{repo_id}"{pinned}{remote})')
    if remote:
        lines.insert(0, "# With `import seqformers` first, trust_remote_code is not needed.")
    return "\n".join(lines)


def _auto_class(config: dict[str, Any], architecture: str) -> str | None:
    """The Auto class of an architecture; None for a head that transformers has no Auto class for."""
    for auto, reference in config.get("auto_map", {}).items():
        if str(reference).rpartition(".")[2] == architecture and auto.startswith("AutoModel"):
            return auto if hasattr(transformers, auto) else None
    stock = re.search(r"For(MaskedLM|SequenceClassification|TokenClassification)$", architecture)
    return f"AutoModelFor{stock[1]}" if stock else "AutoModel"


def _code_of(folder: Path, paths: Sequence[str]) -> dict[str, bytes]:
    """Code, and `auto_map` that names it, for a model of ours that has none beside it; else nothing."""
    try:
        model_type = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError):  # the checks say what is wrong with it
        return {}
    is_ours = model_type in [family.model_type for family in FAMILIES]
    return code_files(folder) if is_ours and f"modeling_{model_type}.py" not in paths else {}


def _remote_files(api: Any, repo_id: str, repo_type: str, revision: str) -> Iterable[Any]:
    entries = api.list_repo_tree(repo_id, recursive=True, revision=revision, repo_type=repo_type)
    return (entry for entry in entries if hasattr(entry, "blob_id"))


def _refuse_another_model(api: Any, plan: PushPlan, repo_id: str, parent: str, remote: dict[str, Any]) -> None:
    """A mistyped name must not replace somebody's model; pushing the same family again is an update."""
    if plan.repo_type != "model" or "config.json" not in remote:
        return
    there = json.loads(Path(api.hf_hub_download(repo_id, "config.json", revision=parent)).read_text(encoding="utf-8"))
    here = json.loads((plan.folder / "config.json").read_text(encoding="utf-8"))
    if there.get("model_type") != here.get("model_type"):
        raise ValueError(
            f"{repo_id} exists and holds a {there.get('model_type')} model, this folder a {here.get('model_type')} "
            "one; choose another name, or pass --overwrite"
        )


def _with_other_configurations(api: Any, plan: PushPlan, repo_id: str, parent: str) -> PushPlan:
    there = api.hf_hub_download(repo_id, "README.md", repo_type="dataset", revision=parent)
    files = []
    for file in plan.files:
        if file.path == "README.md":
            merged = merge_data_cards(file.read().decode(), Path(there).read_text(encoding="utf-8")).encode()
            file = replace(file, content=merged, size=len(merged))
        files.append(file)
    return replace(plan, files=files)


def _stale(plan: PushPlan, remote: dict[str, Any]) -> list[str]:
    """Weights of an earlier push that this one does not have; old shards beside new ones would be loaded."""
    kept = {file.path for file in plan.files}
    return [path for path in remote if _STALE_WEIGHTS.fullmatch(path) and path not in kept]


def _compare(plan: PushPlan, remote: dict[str, Any]) -> None:
    """What the Hub says it holds must be what was sent."""
    for file in plan.files:
        entry = remote.get(file.path)
        if entry is None:
            raise OSError(f"{file.path} did not arrive; push again")
        if entry.lfs is not None:
            same = _digest(hashlib.sha256(), file) == entry.lfs.sha256
        else:
            same = _digest(hashlib.sha1(b"blob %d\0" % file.size), file) == entry.blob_id
        if not same:
            raise OSError(f"{file.path} arrived with another hash; push again")


def _digest(algorithm: Any, file: PlannedFile) -> str:
    with io.BytesIO(file.content) if file.content is not None else file.source.open("rb") as stream:
        while block := stream.read(1 << 20):
            algorithm.update(block)
    return algorithm.hexdigest()


def _next_tag(tags: Collection[str]) -> str:
    numbers = [int(name[1:]) for name in tags if re.fullmatch(r"v\d+", name)]
    return f"v{max(numbers, default=0) + 1}"


def _tags(api: Any, repo_id: str, repo_type: str) -> dict[str, str]:
    """Tag -> commit."""
    return {ref.name: ref.target_commit for ref in api.list_repo_refs(repo_id, repo_type=repo_type).tags}
