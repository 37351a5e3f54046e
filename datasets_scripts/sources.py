"""Fetch an archive from the first address that has it, and check what came."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Source", "fetch", "fetch_and_extract"]


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
    """Download the file (or find it in the cache) and return its path.

    Raises:
        OSError: no address gave the file with the published checksum; the message names each with its error, and
            the way around (`data_dir`).
    """
    problems = []
    for url in source.urls:
        try:
            path = Path(str(dl_manager.download(url)))
        except (OSError, ValueError) as error:
            problems.append(f"{url} ({type(error).__name__}: {error})")
            continue
        found = None if source.md5 is None else _md5(path)
        if found == source.md5:
            return path
        problems.append(f"{url} (md5 {found}, published {source.md5}: the file is damaged or was replaced)")
    raise OSError(
        "could not fetch the data from " + "; ".join(problems) + ". Download it elsewhere and pass data_dir=FOLDER"
    )


def fetch_and_extract(dl_manager: Any, source: Source) -> Path:
    """[`fetch`] an archive and unpack it into the cache; return the folder."""
    return Path(str(dl_manager.extract(str(fetch(dl_manager, source)))))


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
