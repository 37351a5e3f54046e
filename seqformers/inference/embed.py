"""Turn the records of a FASTA file into vectors."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqformers.hub.load import load_model
from seqformers.inference.predict import read_sequences
from seqformers.inference.windows_scorer import Windowing, context_letters, run_records
from seqformers.tables import TableWriter

__all__ = ["embed", "embed_records", "residue_mask"]

_POOLINGS = ("mean", "cls")


def embed(
    run: str | Path,
    sequences: str | Path,
    output: str | Path,
    *,
    pooling: str = "mean",
    layer: int = -1,
    window: int | None = None,
    step: int | None = None,
    both_strands: bool = False,
    batch_size: int = 64,
    device: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> Path:
    """Write one row a record: `id`, `num_windows`, `embedding` (list of float32, the hidden size).

    With `pooling="mean"` a window's vector is the mean over its sequence tokens only: special, unknown and pad tokens
    do not count. A record's vector is the mean over its windows. A record without a known token gets a null vector.

    Args:
        run (`str` or `Path`): Run folder or Hub repository; any head, only the encoder is used.
        sequences (`str` or `Path`): FASTA or FASTQ, plain or gz.
        output (`str` or `Path`): `.parquet` or `.jsonl`.
        pooling (`str`): `"mean"`, or `"cls"` for the first token's vector.
        layer (`int`): Which hidden states, -1 the last, 0 the embeddings.
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
        ValueError: unknown pooling, an output suffix that cannot hold vectors, or what `predict` refuses.
    """
    if pooling not in _POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(_POOLINGS)}, not {pooling!r}")
    if Path(output).suffix not in (".parquet", ".jsonl"):
        raise ValueError(f"vectors go into .parquet or .jsonl, not {Path(output).name}")
    with TableWriter(
        output, {"id": str, "num_windows": int, "embedding": list}, overwrite=overwrite, resume=resume
    ) as table:
        if table.finished:
            return table.path
        loaded = load_model(run, "AutoModel", device=device)
        model, tokenizer = loaded.model, loaded.encoder
        records = islice(read_sequences(sequences, tokenizer, progress=progress), table.rows_done, None)
        empty = 0
        for row in embed_records(
            records, model, tokenizer, pooling=pooling, layer=layer, window=window, step=step,
            both_strands=both_strands, batch_size=batch_size, device=loaded.device,
        ):  # fmt: skip
            empty += row["embedding"] is None
            table.write([row])
    if empty:
        warnings.warn(f"{empty} records hold no known token (too short, or only N) and got no vector", stacklevel=2)
    return table.path


def embed_records(
    records: Iterable[Any],
    model: Any,
    tokenizer: Any,
    *,
    pooling: str = "mean",
    layer: int = -1,
    window: int | None = None,
    step: int | None = None,
    both_strands: bool = False,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `embed` for records that hold `id` and `sequence`; see there for the arguments."""
    window = window or context_letters(model, tokenizer)
    cut = Windowing(window=window, step=step or window, both_strands=both_strands)

    def forward(batch: dict[str, torch.Tensor]) -> np.ndarray:
        hidden = _hidden(model, batch, layer)
        if pooling == "cls":
            return hidden[:, 0].float().cpu().numpy()
        weight = residue_mask(batch, tokenizer)[..., None].to(hidden)
        return ((hidden * weight).sum(1) / weight.sum(1).clamp_min(1)).float().cpu().numpy()

    for result in run_records(records, tokenizer, forward, cut, batch_size=batch_size, device=torch.device(device)):
        mean = None if result.values is None else result.values.mean(axis=0, dtype=np.float64).astype(np.float32)
        yield {
            "id": result.id,
            "num_windows": result.num_windows,
            "embedding": None if mean is None else mean.tolist(),
        }


def residue_mask(batch: dict[str, torch.Tensor], tokenizer: Any) -> torch.Tensor:
    """True at tokens that stand for sequence: not special, not unknown, not padding; shape `(batch, length)`."""
    ids = batch["input_ids"]
    special = torch.tensor(tokenizer.all_special_ids, device=ids.device)
    return (batch["attention_mask"] != 0) & ~torch.isin(ids, special)


def _hidden(model: Any, batch: dict[str, torch.Tensor], layer: int) -> torch.Tensor:
    if layer == -1:
        return model(**batch).last_hidden_state
    states = model(**batch, output_hidden_states=True).hidden_states
    if not -len(states) <= layer < len(states):
        raise ValueError(f"layer {layer} does not exist: this model has hidden states 0 to {len(states) - 1}")
    return states[layer]
