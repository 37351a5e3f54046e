"""Read the records of a benchmark file, whatever it is stored as: LMDB, JSON, FASTA-like lines or a plain table.

LMDB values of the published archives are pickles. They are read by an unpickler that builds plain containers and
NumPy arrays and nothing else, so a tampered archive cannot run code.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lmdb

from seqformers.datasets_scripts.common.tables import open_table

__all__ = ["RECORD_SUFFIXES", "find_splits", "read_records"]

RECORD_SUFFIXES = (".lmdb", ".json", ".jsonl", ".parquet", ".csv", ".tsv")

_SAFE_GLOBALS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}


def read_records(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the records of one file, in order.

    Args:
        path (`str` or `Path`): By suffix: `.lmdb` (folder with `data.mdb`, or one file; pickled dicts under the keys
            "0", "1", ... and a pickled `num_examples`), `.json` (list of objects), `.jsonl`, `.parquet`, `.csv`,
            `.tsv` (with a header line).

    Yields:
        `dict`: Field name -> value; `id` is added (the position in the file) where the record has none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown suffix, or content that is not what the suffix says; the message names file and record.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    readers: dict[str, Callable[[Path], Iterator[dict[str, Any]]]] = {
        ".lmdb": _read_lmdb,
        ".json": _read_json,
        ".jsonl": _read_table,
        ".parquet": _read_table,
        ".csv": _read_table,
        ".tsv": _read_table,
    }
    if path.suffix not in readers:
        raise ValueError(f"{path}: cannot read {path.suffix or 'a file without suffix'}; known: {', '.join(readers)}")
    for index, record in enumerate(readers[path.suffix](path)):
        if not isinstance(record, dict):
            raise ValueError(f"{path}: record {index} is a {type(record).__name__}, expected named fields")
        record.setdefault("id", str(index))
        yield record


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _SAFE_GLOBALS:
            raise ValueError(f"the pickle asks for {module}.{name}; only plain containers and arrays are read")
        return super().find_class(module.replace("numpy.core.", "numpy._core."), name)


def _plain(value: bytes) -> Any:
    return _PlainUnpickler(io.BytesIO(value)).load()


def _read_lmdb(path: Path) -> Iterator[dict[str, Any]]:
    try:
        environment = lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise ValueError(f"{path} is not an LMDB database: {error}") from error
    with environment, environment.begin(buffers=False) as transaction:
        stored = transaction.get(b"num_examples")
        if stored is None:
            raise ValueError(f"{path} has no num_examples entry; expected the layout of TAPE's archives")
        for index in range(int(_plain(stored))):
            value = transaction.get(str(index).encode())
            if value is None:
                raise ValueError(f"{path} breaks off: record {index} is missing")
            try:
                record = _plain(value)
            except (pickle.UnpicklingError, EOFError, ValueError, IndexError) as error:
                raise ValueError(f"{path}: record {index} cannot be read: {error}") from error
            yield record


def _read_json(path: Path) -> Iterator[dict[str, Any]]:
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(records, list):
        raise ValueError(f"{path} holds a {type(records).__name__}; expected a list of records")
    yield from records


def _read_table(path: Path) -> Iterator[dict[str, Any]]:
    for _, row in open_table(path).rows():
        yield row


def find_splits(
    folders: Sequence[Path],
    patterns: Mapping[str, Sequence[str]],
    suffixes: Sequence[str] = RECORD_SUFFIXES,
) -> dict[str, list[Path]]:
    """Find the files of a data set's splits: those of the first folder that has any.

    Args:
        folders (`Sequence[Path]`): Searched in order; one folder serves all splits, so that sets never mix.
        patterns (`Mapping[str, Sequence[str]]`): Split -> file names without suffix, `*` allowed; the first that
            finds something wins.
        suffixes (`Sequence[str]`, *optional*): Tried in order, so that a folder that holds a set twice (LMDB and
            JSON) is read once.

    Returns:
        `dict[str, list[Path]]`: Split -> files sorted by name; splits without a file are left out.
    """
    for folder in folders:
        if folder.is_dir():
            found = {split: _first_match(folder, names, suffixes) for split, names in patterns.items()}
            found = {split: paths for split, paths in found.items() if paths}
            if found:
                return found
    return {}


def _first_match(folder: Path, names: Sequence[str], suffixes: Sequence[str]) -> list[Path]:
    for name in names:
        for suffix in suffixes:
            paths = sorted(folder.glob(name + suffix))
            if paths:
                return paths
    return []
