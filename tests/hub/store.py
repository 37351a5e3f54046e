"""The loopback Hub's memory: repositories with content-addressed commits, and one shared store of large files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml

__all__ = ["Blob", "Commit", "HubError", "Repository", "card_errors", "card_metadata"]

LFS_SUFFIXES = (".safetensors", ".parquet", ".bin", ".onnx", ".npz", ".arrow", ".gz", ".png", ".pt")
LFS_FROM_BYTES = 10 << 20


class HubError(Exception):
    """An answer that is not 2xx: status, message, and the `X-Error-Code` the clients tell errors apart by."""

    def __init__(self, status: int, message: str, code: str | None = None, commit: str | None = None):
        super().__init__(message)
        self.status, self.message, self.code, self.commit = status, message, code, commit


@dataclass(frozen=True)
class Blob:
    """One file. Large files are named by the sha256 of their content, the others as git names them."""

    content: bytes
    large: bool = False
    xet_hash: str | None = None

    @property
    def git_oid(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.git_oid

    def entry(self, path: str) -> dict[str, Any]:
        """How a listing shows the file."""
        shown: dict[str, Any] = {"type": "file", "path": path, "oid": self.git_oid, "size": len(self.content)}
        if self.large:
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {shown['size']}\n"
            shown["oid"] = Blob(pointer.encode()).git_oid
            shown["lfs"] = {"oid": self.sha256, "size": shown["size"], "pointerSize": len(pointer)}
        if self.xet_hash:
            shown["xetHash"] = self.xet_hash
        return shown


@dataclass(frozen=True)
class Commit:
    files: dict[str, Blob]
    parent: str | None
    title: str
    message: str
    date: str

    @property
    def sha(self) -> str:
        tree = {path: blob.etag for path, blob in sorted(self.files.items())}
        return hashlib.sha1(json.dumps([tree, self.parent, self.title, self.message, self.date]).encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass
class Repository:
    """Branches, tags and pull requests over a set of commits; `main` starts as an (almost) empty commit."""

    id: str
    kind: str
    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)
        first = {".gitattributes": Blob(attributes.encode())}
        self.branches["main"] = self._add(Commit(first, None, "initial commit", "", _now()))

    def _add(self, commit: Commit) -> str:
        self.commits[commit.sha] = commit
        return commit.sha

    def resolve(self, revision: str) -> tuple[str, Commit]:
        """The commit a branch, tag, pull request or (shortened) sha stands for."""
        for refs in (self.branches, self.tags, self.pulls, {sha: sha for sha in self.commits}):
            if revision in refs:
                return refs[revision], self.commits[refs[revision]]
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def file(self, revision: str, path: str) -> tuple[str, Blob]:
        sha, commit = self.resolve(revision)
        if path not in commit.files:
            raise HubError(404, "Entry not found", "EntryNotFound", commit=sha)
        return sha, commit.files[path]

    def listing(self, revision: str, folder: str = "", *, recursive: bool = False) -> Iterator[dict[str, Any]]:
        """The entries below `folder`, folders included, as the tree route shows them."""
        sha, commit = self.resolve(revision)
        prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        inside = {path: blob for path, blob in sorted(commit.files.items()) if path.startswith(prefix)}
        if prefix and not inside:
            raise HubError(404, f"{folder} does not exist on {revision}", "EntryNotFound", commit=sha)
        folders: set[str] = set()
        for path, blob in inside.items():
            parts = path[len(prefix) :].split("/")
            for depth in range(1, len(parts)):
                name = prefix + "/".join(parts[:depth])
                if name not in folders and (recursive or depth == 1):
                    folders.add(name)
                    yield {
                        "type": "directory",
                        "path": name,
                        "oid": hashlib.sha1(name.encode()).hexdigest(),
                        "size": 0,
                    }
            if recursive or len(parts) == 1:
                yield blob.entry(path)

    def commit(
        self,
        revision: str,
        operations: Iterable[tuple[str, Any]],
        *,
        large: dict[str, Blob],
        pull_request: bool = False,
    ) -> tuple[str, int | None]:
        """Apply all operations or none.

        Returns:
            `tuple`: the new commit, and the number of the pull request it opened, if any.
        """
        parent, base = self.resolve(revision)
        files, header = dict(base.files), {"summary": "", "description": ""}
        for key, value in operations:
            if key == "header":
                header = value
                if value.get("parentCommit", parent) != parent:
                    raise HubError(412, "A commit has happened since. Please refresh and try again.")
            elif key == "file":
                files[value["path"]] = Blob(value["content"])
            elif key == "lfsFile":
                blob = large.get(value["oid"])
                if blob is None or value.get("size", len(blob.content)) != len(blob.content):
                    raise HubError(400, f"LFS pointer of {value['path']} points to a file that was never uploaded")
                files[value["path"]] = blob
            elif key == "deletedFile" and value["path"] in files:
                del files[value["path"]]
            elif key == "deletedFolder":
                prefix = value["path"].rstrip("/") + "/"
                files = {path: blob for path, blob in files.items() if not path.startswith(prefix)}
            else:
                raise HubError(404, f"A file with this name doesn't exist: {value}", "EntryNotFound")
        sha = self._add(Commit(files, parent, header["summary"], header.get("description", ""), _now()))
        if pull_request:
            number = len(self.pulls) + 1
            self.pulls[f"refs/pr/{number}"] = sha
            return sha, number
        if revision not in self.branches and revision not in self.pulls:
            raise HubError(400, f"cannot commit onto {revision}: not a branch")
        (self.branches if revision in self.branches else self.pulls)[revision] = sha
        return sha, None

    def history(self, revision: str) -> list[dict[str, Any]]:
        sha: str | None = self.resolve(revision)[0]
        shown = []
        while sha is not None:
            commit = self.commits[sha]
            shown.append(
                {"id": sha, "title": commit.title, "message": commit.message, "date": commit.date, "authors": []}
            )
            sha = commit.parent
        return shown

    def info(self, revision: str, *, sizes: bool = False) -> dict[str, Any]:
        """What `model_info` and its like show."""
        sha, commit = self.resolve(revision)
        siblings = []
        for path, blob in sorted(commit.files.items()):
            entry = blob.entry(path)
            shown = {"rfilename": path}
            if sizes:
                shown |= {"size": entry["size"], "blobId": entry["oid"]}
                if "lfs" in entry:
                    shown["lfs"] = {"sha256": blob.sha256, "size": entry["size"], "pointerSize": 130}
            siblings.append(shown)
        card = card_metadata(commit.files["README.md"].content.decode()) if "README.md" in commit.files else {}
        return {
            "id": self.id,
            "modelId": self.id,
            "author": self.id.split("/")[0],
            "sha": sha,
            "private": self.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "lastModified": commit.date,
            "createdAt": commit.date,
            "tags": _search_tags(card),
            "pipeline_tag": card.get("pipeline_tag"),
            "library_name": card.get("library_name"),
            "cardData": card,
            "siblings": siblings,
        }


def _search_tags(card: dict[str, Any]) -> list[str]:
    """The words a search finds the repository by."""
    tags = [str(tag) for tag in card.get("tags") or []]
    tags += [str(card[key]) for key in ("library_name", "pipeline_tag") if card.get(key)]
    tags += [f"license:{card['license']}"] if card.get("license") else []
    tags += [f"dataset:{name}" for name in card.get("datasets") or []]
    return list(dict.fromkeys(tags))


def card_metadata(text: str) -> dict[str, Any]:
    """The YAML block at the head of a card; empty where there is none.

    Raises:
        ValueError: the block is not closed, or is not a YAML mapping.
    """
    text = text.replace("\r\n", "\n")
    if not text.startswith("---\n"):
        return {}
    block, closed, _ = text[4:].partition("\n---")
    if not closed:
        raise ValueError("the metadata block is not closed by ---")
    try:
        metadata = yaml.safe_load(block) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"the metadata is not YAML: {error}") from error
    if not isinstance(metadata, dict):
        raise ValueError("the metadata must be a mapping")
    return metadata


def card_errors(text: str, kind: str) -> list[str]:
    """What the validation route would complain about: types, and the obligatory parts of `model-index`."""
    try:
        metadata = card_metadata(text)
    except ValueError as error:
        return [str(error)]
    errors = []
    for key in ("license", "library_name", "pipeline_tag", "license_name", "pretty_name", "sdk"):
        if key in metadata and not isinstance(metadata[key], str):
            errors.append(f'"{key}" must be a string')
    for key in ("tags", "datasets", "metrics", "configs"):
        value = metadata.get(key, [])
        wanted = dict if key == "configs" else str
        if not isinstance(value, list) or not all(isinstance(item, wanted) for item in value):
            errors.append(f'"{key}" must be an array of {wanted.__name__}')
    if kind == "space" and metadata.get("sdk") not in ("gradio", "docker", "static", "streamlit"):
        errors.append('"sdk" must be one of gradio, docker, static, streamlit')
    for model in metadata.get("model-index", []):
        if "name" not in model:
            errors.append('"model-index[0].name" is required')
        for result in model.get("results", []):
            for part, needed in (("task", {"type"}), ("dataset", {"type", "name"})):
                if not needed <= set(result.get(part, {})):
                    errors.append(f'"model-index[0].results.{part}" needs {sorted(needed)}')
            for metric in result.get("metrics") or [{}]:
                if not {"type", "value"} <= set(metric):
                    errors.append('"model-index[0].results.metrics" needs type and value')
    return errors
