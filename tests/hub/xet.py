"""The Xet transport on the loopback: the genuine client writes into its own store in a local folder.

The client uploads chunks and a *shard* (which chunks make up which file) there. The commit that follows names files
by sha256 only, as on the Hub, so the shards are read to learn their Xet hash, and the content is fetched back from
the store. The store locks its folder, so server and client must live in one process.
"""

from __future__ import annotations

import hashlib
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.hub.store import Blob, HubError

__all__ = ["XetStore"]

RECORD = 48  # a shard is a header and then records of this size
HAS_VERIFICATION, HAS_METADATA = 1 << 31, 1 << 30


class XetStore:
    """A folder the client's `local://` store works in."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.url = f"local://{folder}"

    def fetch(self, sha256: str) -> Blob:
        """The file with this sha256, rebuilt from its chunks and checked."""
        import hf_xet

        for shard in sorted(self.folder.rglob("xorbs/shards/*.mdb")):
            for found, xet_hash, size in _files_in(shard.read_bytes()):
                if found != sha256:
                    continue
                with tempfile.TemporaryDirectory() as scratch:
                    target = Path(scratch) / "file"
                    expires = int(time.time()) + 3600
                    session = hf_xet.XetSession()
                    with session.new_file_download_group(
                        endpoint=self.url, token="loopback", token_expiry_unix_secs=expires
                    ) as group:
                        group.start_download_file(hf_xet.XetFileInfo(xet_hash, size), str(target))
                    content = target.read_bytes()
                if hashlib.sha256(content).hexdigest() != sha256:
                    raise HubError(422, f"the chunks of {sha256} make up another file")
                return Blob(content, large=True, xet_hash=xet_hash)
        raise HubError(400, f"no shard knows a file with sha256 {sha256}")


def _files_in(shard: bytes) -> Iterator[tuple[str, str, int]]:
    """Yield sha256, Xet hash and size of the files a shard describes."""
    at = RECORD
    while shard[at : at + 32] != b"\xff" * 32:
        flags, count = struct.unpack_from("<II", shard, at + 32)
        xet_hash = _hex(shard[at : at + 32])
        segments = [struct.unpack_from("<I", shard, at + RECORD * (1 + i) + 36)[0] for i in range(count)]
        at += RECORD * (1 + count * (2 if flags & HAS_VERIFICATION else 1))
        if flags & HAS_METADATA:
            yield _hex(shard[at : at + 32]), xet_hash, sum(segments)
            at += RECORD


def _hex(digest: bytes) -> str:
    """Hashes are stored as four little-endian numbers and shown as big-endian ones."""
    return b"".join(digest[i : i + 8][::-1] for i in range(0, 32, 8)).hex()
