"""Write archives in the layouts that TAPE and PEER publish, at tiny size, and build from them."""

from __future__ import annotations

import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import lmdb
import numpy as np


def write_lmdb(path: Path, records: list[dict[str, Any]]) -> None:
    """One LMDB folder: pickled records under "0", "1", ... and a pickled `num_examples`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with lmdb.open(str(path), map_size=2**24) as environment, environment.begin(write=True) as transaction:
        for index, record in enumerate(records):
            transaction.put(str(index).encode(), pickle.dumps(record))
        transaction.put(b"num_examples", pickle.dumps(len(records)))


def write_json(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = [
        {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in record.items()}
        for record in records
    ]
    path.write_text(json.dumps(plain))


def pack(folder: Path, archive: Path) -> None:
    """`<archive>` holding `folder` under its own name, as upstream packs."""
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, arcname=folder.name)


def build(cls: Any, tmp_path: Path, name: str, data_dir: Path | None, **options: Any) -> Any:
    """All splits of a configuration, built in a cache of the test's own."""
    from seqformers.datasets import _prepare

    where = None if data_dir is None else str(data_dir)
    builder = cls(config_name=name, data_dir=where, cache_dir=str(tmp_path / "cache"), **options)
    _prepare(builder)
    return builder.as_dataset()
