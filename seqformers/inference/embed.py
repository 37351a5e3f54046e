"""Turn the records of a FASTA file into vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqformers.datasets_scripts.common.remarks import OnError, Remarks
from seqformers.hub.load import Loaded
from seqformers.inference.engine import run_records
from seqformers.inference.record_rows import RecordRows, note_unknown
from seqformers.inference.windowing import Windowing

__all__ = ["embed", "embed_records", "residue_mask"]

COLUMNS = {"id": str, "num_windows": int, "embedding": list}
_POOLINGS = ("mean", "cls")
_DIGITS = 6


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
    precision: str = "fp32",
    on_error: OnError = "raise",
    shard: str | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> Path:
    """Write one row a record: `id`, `num_windows`, `embedding` (list of float32, the hidden size).

    With `pooling="mean"` a window's vector is the mean over its sequence tokens only: special, unknown and pad tokens
    do not count. A record's vector is the mean over its windows. A record without a known token gets a null vector.
    Vectors hold six significant digits of their largest number. They do not depend on batch size, threads, a shard or
    a resume, and agree with double precision within 1e-5 of the largest number.

    Args:
        run (`str` or `Path`): Run folder or Hub repository; any head, only the encoder is used.
        sequences (`str` or `Path`): FASTA or FASTQ, plain or compressed; a pipe or `-`.
        output (`str` or `Path`): `.parquet` or `.jsonl`.
        pooling (`str`): `"mean"`, or `"cls"` for the first token's vector.
        layer (`int`): Which hidden states, -1 the last, 0 the embeddings.
        window (`int`, *optional*): Bases (or residues) a window; default what the model was trained on.
        step (`int`, *optional*): Between window starts, at most `window`; default `window`.
        both_strands (`bool`): Average over both strands (DNA).
        batch_size (`int`): Windows a forward pass; does not change the answer.
        device (`str`, *optional*): Default: a GPU when there is one.
        precision (`str`): `"fp32"`; `"bf16"`, faster where the hardware has it, about 1 % of the largest number off;
            `"int8"` (CPU), further off, and it depends on the batch; `"auto"`: bf16 where the hardware has it.
        on_error (`str`): `"skip"` leaves out records that cannot be read and counts them.
        shard (`str`, *optional*): `"i/n"`: only the i-th of n shares of the records; `seqformers.merge` joins them.
        engine (`str`): `"local"`; or `"ray"`: an actor a GPU or core of a Ray cluster that sees the files;
            or `"openvino"`, faster than torch on a CPU (extra `[openvino]`).
        ray_address (`str`, *optional*): Of a running cluster, `"auto"` or `host:port`; default: one on this machine.
        overwrite (`bool`): Replace an existing output once the new one is whole.
        resume (`bool`): Go on after an interruption, with the same model, input and options.
        progress (`bool`): Show a progress bar on stderr.

    Returns:
        `Path`: `output`.

    Raises:
        ValueError: unknown pooling, an output suffix that cannot hold vectors, or what `predict` refuses.
        OSError: as `predict`.
    """
    if pooling not in _POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(_POOLINGS)}, not {pooling!r}")
    if Path(output).suffix not in (".parquet", ".jsonl"):
        raise ValueError(f"vectors go into .parquet or .jsonl, not {Path(output).name}")
    make_rows, settings = partial(embed_records, pooling=pooling, layer=layer), {"pooling": pooling, "layer": layer}
    return RecordRows("embed", COLUMNS, "AutoModel", "vector", make_rows, settings).write(
        run, sequences, output, window=window, step=step, both_strands=both_strands, batch_size=batch_size,
        device=device, precision=precision, on_error=on_error, shard=shard, engine=engine, ray_address=ray_address,
        overwrite=overwrite, resume=resume, progress=progress,
    )  # fmt: skip


def embed_records(
    records: Iterable[Any],
    loaded: Loaded,
    windowing: Windowing | None = None,
    *,
    pooling: str = "mean",
    layer: int = -1,
    batch_size: int = 64,
    remarks: Remarks | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `embed` for records that hold `id` and `sequence`; arguments as in `predict_records`.

    Raises:
        ValueError: there is no such layer, or the model gives something that is no number.
    """
    cut = (windowing or Windowing()).for_model(loaded)

    def forward(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        hidden = _hidden(model, batch, layer)
        if hidden.shape[1] != batch["input_ids"].shape[1]:  # positions that are pooled are no tokens
            return _vector_of_row(model, batch, layer)
        if pooling == "cls":
            return hidden[:, 0]
        weight = residue_mask(batch, loaded.encoder)[..., None].to(hidden)
        return (hidden * weight).sum(1) / weight.sum(1).clamp_min(1)

    for result in run_records(records, loaded, cut, forward, batch_size=batch_size):
        vector = None
        if result.values is None:
            if remarks is not None:
                note_unknown(remarks, result.id, "vector")
        else:
            vector = _rounded(result.values.mean(axis=0), result.id)
        yield {"id": result.id, "num_windows": result.num_windows, "embedding": vector}


def _vector_of_row(model: Any, batch: dict[str, torch.Tensor], layer: int) -> torch.Tensor:
    """The model's own vector of a row, for networks whose positions are not those of the tokens."""
    if layer != -1:
        raise ValueError(f"{type(model).__name__} gives one vector a sequence, from its last layer; leave layer at -1")
    return model(**batch).pooler_output


def _rounded(vector: np.ndarray, name: str) -> list[float]:
    """The numbers with six significant digits of the largest one."""
    largest = float(np.abs(vector).max())
    if not math.isfinite(largest):
        raise ValueError(f"record {name!r}: the model gives no number for it (NaN or infinite)")
    decimals = _DIGITS - 1 - math.floor(math.log10(largest)) if largest else 0
    return vector.round(decimals).tolist()


def residue_mask(batch: dict[str, torch.Tensor], tokenizer: Any) -> torch.Tensor:
    """True at tokens that stand for sequence: not special, not unknown, not padding; shape `(batch, length)`."""
    ids = batch["input_ids"]
    special = torch.tensor(tokenizer.all_special_ids, device=ids.device)
    return (batch["attention_mask"] != 0) & ~torch.isin(ids, special)


def _hidden(model: Any, batch: dict[str, torch.Tensor], layer: int) -> torch.Tensor:
    if layer == -1:
        return model(**batch).last_hidden_state
    states = model(**batch, output_hidden_states=True).hidden_states
    if states is None:
        raise ValueError(f"{type(model).__name__} gives its last layer only; leave layer at -1")
    if not -len(states) <= layer < len(states):
        raise ValueError(f"layer {layer} does not exist: this model has hidden states 0 to {len(states) - 1}")
    return states[layer]
