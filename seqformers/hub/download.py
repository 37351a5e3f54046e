"""Find the folder of a model or data set: a local one as it is, one of the Hub fetched and checked."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.constants import is_offline_mode
from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from seqformers.hub.errors import clear_hub_errors

__all__ = ["fetch_repository"]

# A model lies at the top of its repository; below are other seeds and forms.
_NOT_FETCHED = {"model": ["*/*", "*.h5", "*.msgpack", "*.onnx", "*.ot", "*.tflite"]}


def fetch_repository(repo_id: str | Path, *, repo_type: str = "model", revision: str | None = None) -> Path:
    """Return the local folder of a repository; fetched when it is not in the cache, and checked.

    The clients compare sizes only. Here each file's hash (sha256 of large files, git's of the others) is compared
    with the listing; a file that differs is taken out of the cache, so that trying again fetches it anew. Where a
    local folder of this name exists it is returned as it is, and without a network the cached copy is.

    Args:
        repo_id (`str` or `Path`): `user/name` on the Hub, or a local folder.
        repo_type (`str`): `model`, `dataset` or `space`. Of a model only the files at the top are fetched.
        revision (`str`, *optional*): Branch, tag or commit.

    Raises:
        FileNotFoundError: neither a folder nor a repository.
        OSError: no network and not cached, no room on the disk, or a file with a wrong hash.
    """
    if Path(repo_id).is_dir():
        return Path(repo_id)
    repo_id = str(repo_id)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repo_id) or repo_id.startswith("."):
        raise FileNotFoundError(f"no such folder: {repo_id}")
    api = HfApi(library_name="seqformers")
    with clear_hub_errors(repo_id, api):
        try:
            ignored = _NOT_FETCHED.get(repo_type)
            found = api.snapshot_download(repo_id, repo_type=repo_type, revision=revision, ignore_patterns=ignored)
        except LocalEntryNotFoundError as error:
            raise OSError(
                f"no folder {repo_id} here; on the Hub it cannot be looked up: it is not in the cache and "
                f"{api.endpoint} cannot be reached"
            ) from error
        except RepositoryNotFoundError as error:
            raise FileNotFoundError(
                f"{repo_id} is neither a folder here nor a repository at {api.endpoint}; check the name, and that "
                "your token may see it"
            ) from error
        folder = Path(found)
        if is_offline_mode():
            return folder
        try:
            report = api.verify_repo_checksums(repo_id, repo_type=repo_type, revision=folder.name)
        except HfHubHTTPError:
            raise
        except (HTTPError, ConnectionError):  # the cached copy, and nobody to compare it with
            return folder
        for mismatch in report.mismatches:
            path = folder / mismatch["path"]
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
    if report.mismatches:
        names = ", ".join(mismatch["path"] for mismatch in report.mismatches)
        raise OSError(f"{repo_id}: wrong hash of {names} after the download; removed from the cache, try again")
    return folder
