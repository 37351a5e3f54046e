"""Tables of 34-letter Cpf1 targets: read in chunks, checked, scored, every column kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from seqformers.guides.rows import round_scores
from seqformers.guides.scorer import GuideScorer
from seqformers.guides.sites import CONTEXT, PAM_LENGTH, UPSTREAM, Pam
from seqformers.modeling.guides.processing_deepcpf1 import UNKNOWN_BASE, DeepCpf1Processor

__all__ = ["is_target_table", "name_columns", "read_targets", "score_targets"]

_SEPARATORS = {".tsv": "\t", ".txt": "\t", ".csv": ","}
_OTHER = {".parquet", ".xlsx"}
_SCORES = ("seq_score", "score")
_CHUNK = 1 << 15


def is_target_table(source: Path) -> bool:
    """Whether `source` is a table by its suffix; a text file that starts like FASTA or FASTQ is none."""
    suffix = source.suffix.lower()
    if suffix in _OTHER:
        return True
    if suffix not in _SEPARATORS:
        return False
    with source.open("rb") as file:
        return file.read(1) not in (b">", b"@")


def name_columns(source: Path) -> list[str]:
    """Columns of the output: those of the table, then `seq_score` and `score`.

    Raises:
        ValueError: the table lacks `id` or `target`, or has no rows.
    """
    first = next(iter(read_targets(source)), None)
    if first is None or first.empty:
        raise ValueError(f"{source} has no rows; expected the columns id and target and one target a row")
    return [*first.columns, *_SCORES]


def read_targets(source: Path) -> Iterator[pd.DataFrame]:
    """Yield chunks of the table; text formats keep every value as it is written."""
    suffix = source.suffix.lower()
    if suffix == ".parquet":
        for batch in pq.ParquetFile(source).iter_batches(_CHUNK):
            yield _with_columns(batch.to_pandas(), source)
    elif suffix == ".xlsx":
        try:
            yield _with_columns(pd.read_excel(source), source)
        except ImportError as error:
            raise ValueError(
                f"reading {source.name} needs openpyxl: pip install 'seqformers[tables]', or save it as .tsv"
            ) from error
    else:
        options: dict[str, Any] = {"dtype": str, "keep_default_na": False, "chunksize": _CHUNK}
        try:
            for chunk in pd.read_csv(source, sep=_SEPARATORS[suffix], **options):
                yield _with_columns(chunk, source)
        except pd.errors.EmptyDataError as error:
            raise ValueError(f"{source} is empty; expected a header with the columns id and target") from error
        except pd.errors.ParserError as error:
            raise ValueError(f"{source} cannot be read as a table: {error}") from error


def score_targets(chunk: pd.DataFrame, scorer: GuideScorer, pam: Pam, counts: Counter[str]) -> list[dict[str, Any]]:
    """Rows of one chunk with their scores; targets without the PAM and with unknown letters are added to `counts`.

    Raises:
        ValueError: a target of another length, or an accessibility other than 0 or 1; the message names its id.
    """
    targets = chunk["target"].str.strip().tolist()
    _check_lengths(chunk["id"].tolist(), targets)
    letters = np.frombuffer("".join(targets).encode("latin-1", "replace"), np.uint8).reshape(len(targets), CONTEXT)
    codes = DeepCpf1Processor.encode_letters(letters)
    counts["other_pam"] += int((~pam.fits(letters[:, UPSTREAM : UPSTREAM + PAM_LENGTH])).sum())
    counts["unknown_letters"] += int((codes == UNKNOWN_BASE).any(1).sum())
    accessible = _accessibility(chunk) if "accessible" in chunk else None
    if accessible is not None and not scorer.uses_accessibility:
        counts["accessibility_unused"] += len(chunk)
    sequence, final = scorer.score(codes, accessible)
    return chunk.assign(seq_score=round_scores(sequence), score=round_scores(final)).to_dict("records")


def _check_lengths(names: list[str], targets: list[str]) -> None:
    for name, target in zip(names, targets, strict=True):
        if len(target) != CONTEXT:
            raise ValueError(
                f"target of {name!r} has {len(target)} letters ({target!r}), expected {CONTEXT}: 4 upstream, the PAM, "
                "23 of the protospacer, 3 downstream"
            )


def _accessibility(chunk: pd.DataFrame) -> np.ndarray:
    values = pd.to_numeric(chunk["accessible"], errors="coerce").to_numpy(np.float32)
    wrong = np.flatnonzero(~np.isin(values, (0.0, 1.0)))
    if wrong.size:
        row = chunk.iloc[int(wrong[0])]
        raise ValueError(
            f"accessible of {row['id']!r} is {str(row['accessible'])!r}, expected 1 (in open chromatin) or 0; "
            "leave the column out to score from the sequence alone"
        )
    return values


def _with_columns(chunk: pd.DataFrame, source: Path) -> pd.DataFrame:
    chunk = chunk.rename(columns=lambda name: str(name).strip())
    missing = [name for name in ("id", "target") if name not in chunk]
    if missing:
        raise ValueError(
            f"{source} has no column {' and no column '.join(missing)}; it has {', '.join(chunk.columns)}. Expected "
            "id and target (34 letters), optionally accessible; sequences to search belong into a FASTA file"
        )
    chunk = chunk.drop(columns=list(_SCORES), errors="ignore")
    return chunk.assign(id=chunk["id"].astype(str), target=chunk["target"].astype(str))
