"""Fetch an archive from the first address that has it, and check what came."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import datasets

from seqformers.datasets_scripts.common.download import download

__all__ = ["Source", "fetch", "fetch_and_extract", "mirrored"]


@dataclass(frozen=True)
class Source:
    """Where a file is published.

    Args:
        urls (`tuple[str, ...]`): Addresses of the same file, tried in order.
        md5 (`str`, *optional*): Published checksum; `None` where the publisher gives none.
    """

    urls: tuple[str, ...]
    md5: str | None = None


def fetch(dl_manager: Any, source: Source) -> Path:
    """Download the file (or find it in the cache) and return its path; a broken download goes on where it stopped.

    Raises:
        OSError: no address gave the file with the published checksum; the message names each with its error, and
            the way around (`data_dir`).
    """
    problems = []
    for url in source.urls:
        try:
            if url.startswith(("http://", "https://")):
                return download(url, _folder(url), checksum=source.md5)
            return _checked(Path(str(dl_manager.download(url))), source.md5)
        except (OSError, ValueError) as error:
            problems.append(f"{url} ({type(error).__name__}: {error})")
    raise OSError(
        "could not fetch the data from " + "; ".join(problems) + ". Download it elsewhere and pass data_dir=FOLDER"
    )


def fetch_and_extract(dl_manager: Any, source: Source) -> Path:
    """[`fetch`] an archive and unpack it into the cache; return the folder."""
    return Path(str(dl_manager.extract(str(fetch(dl_manager, source)))))


def _folder(url: str) -> Path:
    """Cache folder of one address: archives of different publishers share names."""
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    return Path(datasets.config.HF_DATASETS_CACHE) / "downloads" / "seqformers" / name


def _checked(path: Path, md5: str | None) -> Path:
    """`path`, if its checksum is the published one."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if md5 not in (None, found):
        raise ValueError(f"md5 {found}, published {md5}: the file is damaged or was replaced")
    return path


def mirrored(url: str, mirror: str | None) -> str:
    """The address of `url` at a mirror that keeps the path, for instance `http://127.0.0.1:8000`."""
    if mirror is None:
        return url
    return mirror.rstrip("/") + urlsplit(url).path
