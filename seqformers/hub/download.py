"""Fetch a repository from the Hub and check every file against the hash the Hub lists for it."""

from __future__ import annotations

from pathlib import Path

from seqformers.hub.errors import clear_hub_errors

__all__ = ["fetch_repository"]


def fetch_repository(repo_id: str, *, repo_type: str = "model", revision: str | None = None) -> Path:
    """Return the local folder of a repository; fetched when it is not in the cache, and checked.

    The clients compare sizes only. Here each file's hash (sha256 of large files, git's of the others) is compared
    with the listing; a file that differs is taken out of the cache, so that trying again fetches it anew. Where a
    local folder of this name exists it is returned as it is, and offline the cached copy is.

    Args:
        repo_id (`str`): `user/name` on the Hub, or a local folder.
        repo_type (`str`): `model`, `dataset` or `space`.
        revision (`str`, *optional*): Branch, tag or commit.

    Raises:
        OSError: not found, no network and not cached, no room on the disk, or a file with a wrong hash.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import LocalEntryNotFoundError

    if Path(repo_id).is_dir():
        return Path(repo_id)
    api = HfApi(library_name="seqformers")
    with clear_hub_errors(repo_id, api):
        try:
            folder = Path(api.snapshot_download(repo_id, repo_type=repo_type, revision=revision))
        except LocalEntryNotFoundError as error:
            raise OSError(f"{repo_id} is not in the cache and {api.endpoint} cannot be reached") from error
        if is_offline_mode():
            return folder
        report = api.verify_repo_checksums(repo_id, repo_type=repo_type, revision=folder.name)
        for mismatch in report.mismatches:
            path = folder / mismatch["path"]
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
    if report.mismatches:
        names = ", ".join(mismatch["path"] for mismatch in report.mismatches)
        raise OSError(f"{repo_id}: wrong hash of {names} after the download; removed from the cache, try again")
    return folder
