"""Fetch a file over HTTP so that a broken connection or a kill costs nothing already received."""

from __future__ import annotations

import hashlib
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

__all__ = ["download"]

_CHUNK = 1 << 20


def download(
    url: str, folder: str | Path, *, checksum: str | None = None, attempts: int = 4, timeout: float = 60.0
) -> Path:
    """Fetch `url` into `folder` and return the file; one that is there already is not fetched again.

    What arrives goes to `<name>.partial`; a later call asks the server for the rest by HTTP Range, provided that the
    file there has not changed meanwhile (its ETag or date).

    Args:
        url (`str`): `http` or `https` address whose last part names the file.
        folder (`str` or `Path`): Created when missing.
        checksum (`str`, *optional*): Expected MD5 or SHA-256 in hex.
        attempts (`int`, *optional*, defaults to 4): Tries before giving up; a try that made progress does not count.
        timeout (`float`, *optional*, defaults to 60): Seconds without data that end a try.

    Raises:
        ValueError: the file's checksum is another.
        OSError: the server could not be reached or does not have the file.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"cannot fetch {url}: only http and https addresses are supported")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / url.rpartition("/")[2]
    if not target.exists():
        partial = target.with_name(target.name + ".partial")
        _fetch_all(url, partial, attempts, timeout)
        _check(partial, checksum, url)
        partial.replace(target)
        partial.with_name(partial.name + ".version").unlink(missing_ok=True)
    else:
        _check(target, checksum, url)
    return target


def _fetch_all(url: str, partial: Path, attempts: int, timeout: float) -> None:
    failures = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            return _fetch_rest(url, partial, timeout)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise OSError(f"cannot fetch {url}: the server answers {error.code} {error.reason}") from error
            reason: Exception = error
        except (OSError, HTTPException) as error:
            reason = error
        failures = 1 if partial.exists() and partial.stat().st_size > before else failures + 1
        if failures >= attempts:
            raise OSError(f"cannot fetch {url}: {reason}; run it again to go on from what was received") from reason
        time.sleep(min(2**failures, 10) * 0.1)


def _fetch_rest(url: str, partial: Path, timeout: float) -> None:
    version = partial.with_name(partial.name + ".version")
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "seqformers"})
    if have and version.exists():
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version.read_text(encoding="utf-8"))
    try:
        response: Any = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range", "").endswith(f"/{have}"):
            return
        raise
    with response:
        resumed = response.status == 206
        have = have if resumed else 0
        version.write_text(
            response.headers.get("ETag") or response.headers.get("Last-Modified") or "", encoding="utf-8"
        )
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        name = partial.name.removesuffix(".partial")
        with (
            partial.open("ab" if resumed else "wb") as file,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=name) as bar,
        ):
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and partial.stat().st_size != total:
        raise OSError(f"the connection broke after {partial.stat().st_size:,} of {total:,} bytes")


def _check(path: Path, checksum: str | None, url: str) -> None:
    if checksum is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5" if len(checksum) == 32 else "sha256").hexdigest()
    if found != checksum.lower():
        path.unlink()
        raise ValueError(f"{url} has checksum {found}, expected {checksum}; it was deleted, fetch it again")
