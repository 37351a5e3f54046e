"""Classify the records of a FASTA file with a fine-tuned run."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.hub.load import load_model
from seqformers.inference.windows_scorer import RecordResult, Windowing, context_letters, run_records
from seqformers.tables import TableWriter

__all__ = ["COLUMNS", "predict", "predict_records", "read_sequences"]

COLUMNS = {"id": str, "label": str, "score": float, "num_windows": int}
_IDS_REMEMBERED = 1_000_000


def predict(
    run: str | Path,
    sequences: str | Path,
    output: str | Path,
    *,
    window: int | None = None,
    step: int | None = None,
    both_strands: bool = False,
    batch_size: int = 64,
    device: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> Path:
    """Write one row a record: `id`, `label`, `score`, `num_windows`.

    A record is cut into windows (the last one ends with the record), each window gets class probabilities, and the
    record gets their mean. `score` is the mean probability of the positive class (the second of two), or of the class
    named in `label` when there are more; for a regression it is the value and `label` is empty. A record without a
    known token (shorter than a token, or only N) gets an empty label and score, `num_windows` 0, and is counted in a
    warning. Memory does not grow with the file.

    Args:
        run (`str` or `Path`): Run folder or Hub repository of a sequence classifier.
        sequences (`str` or `Path`): FASTA or FASTQ, plain or gz.
        output (`str` or `Path`): `.tsv`, `.csv`, `.jsonl` or `.parquet`.
        window (`int`, *optional*): Bases (or residues) a window; default what the model was trained on.
        step (`int`, *optional*): Between window starts; default `window`.
        both_strands (`bool`): Average over both strands (DNA).
        batch_size (`int`): Windows a forward pass; does not change the answer.
        device (`str`, *optional*): Default: a GPU when there is one.
        overwrite (`bool`): Replace an existing output.
        resume (`bool`): Go on after an interruption.
        progress (`bool`): Show a progress bar on stderr.

    Returns:
        `Path`: `output`.

    Raises:
        FileNotFoundError: no such FASTA file.
        FileExistsError: the output exists.
        ValueError: not FASTA, a run without a classifier, or records that are not what the model reads.
    """
    with TableWriter(output, COLUMNS, overwrite=overwrite, resume=resume) as table:
        if table.finished:
            return table.path
        loaded = load_model(run, "AutoModelForSequenceClassification", device=device)
        model, tokenizer = loaded.model, loaded.encoder
        rows = predict_records(
            islice(read_sequences(sequences, tokenizer, progress=progress), table.rows_done, None),
            model, tokenizer, window=window, step=step, both_strands=both_strands, batch_size=batch_size,
            device=loaded.device,
        )  # fmt: skip
        empty = 0
        for row in rows:
            empty += row["num_windows"] == 0
            table.write([row])
    if empty:
        warnings.warn(f"{empty} records hold no known token (too short, or only N) and got no score", stacklevel=2)
    return table.path


def predict_records(
    records: Iterable[Any],
    model: Any,
    tokenizer: Any,
    *,
    window: int | None = None,
    step: int | None = None,
    both_strands: bool = False,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `predict` for records that hold `id` and `sequence`; see there for the arguments."""
    window = window or context_letters(model, tokenizer)
    cut = Windowing(window=window, step=step or window, both_strands=both_strands)
    regression = model.config.problem_type == "regression" or model.config.num_labels == 1

    def forward(batch: dict[str, torch.Tensor]) -> np.ndarray:
        logits = model(**batch).logits.float()
        return (logits if regression else logits.softmax(-1)).cpu().numpy()

    for result in run_records(records, tokenizer, forward, cut, batch_size=batch_size, device=torch.device(device)):
        yield _row(result, model.config, regression=regression)


def _row(result: RecordResult, config: Any, *, regression: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": result.id, "label": None, "score": None, "num_windows": result.num_windows}
    if result.values is None:
        return row
    mean = result.values.astype(np.float64).mean(axis=0)
    if regression:
        return {**row, "label": "", "score": round(float(mean[0]), 6)}
    best = int(mean.argmax())
    shown = 1 if len(mean) == 2 else best
    return {**row, "label": config.id2label[best], "score": round(float(mean[shown]), 6)}


def read_sequences(path: str | Path, tokenizer: Any, *, progress: bool) -> Iterator[Any]:
    """Records of a FASTA file with a progress bar; letters the tokenizer's molecule does not have are refused.

    An id that comes again is no error, since rows keep the order of the records, but it is counted in a warning.
    """
    from tqdm import tqdm

    molecule = "dna" if hasattr(tokenizer, "k") else None
    seen: set[int] = set()
    repeated = 0
    for record in tqdm(read_fasta(path, molecule=molecule), unit=" records", disable=not progress, file=sys.stderr):
        known = hash(record.id)
        repeated += known in seen
        # A bound, so that memory does not grow with the file.
        if len(seen) < _IDS_REMEMBERED:
            seen.add(known)
        yield record
    if repeated:
        warnings.warn(f"{path}: {repeated} ids came more than once; tell their rows apart by order", stacklevel=2)
