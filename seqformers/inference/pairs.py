"""Score pairs of proteins: the records of two FASTA files, or all records of one against each other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqformers.clusters import runs_on_ray
from seqformers.datasets_scripts.common.remarks import OnError, Remarks
from seqformers.datasets_scripts.common.streams import is_stream
from seqformers.files import fingerprint
from seqformers.hub.load import Loaded, load_model, model_folder, read_config
from seqformers.inference.records import describe_work, read_sequences
from seqformers.inference.scores import round_score
from seqformers.inference.windowing import check_count
from seqformers.shards import Shard
from seqformers.tables import TableWriter

__all__ = ["PAIRS", "compares_pairs", "predict_pairs"]

PAIRS: dict[str, Any] = {"id_a": str, "id_b": str, "label": str, "score": float}
_HEAD = "AutoModelForPairClassification"
_AT_ONCE = 2048  # pairs that are put in order of length
_Pair = tuple[Any, Any]


def compares_pairs(run: str | Path) -> bool:
    """Whether a run or Hub repository compares pairs of proteins."""
    heads = read_config(model_folder(run), name=run).get("architectures") or [""]
    return str(heads[0]).endswith("ForPairClassification")


@runs_on_ray("sequences", "against")
def predict_pairs(
    run: str | Path,
    sequences: str | Path,
    output: str | Path,
    *,
    against: str | Path | None = None,
    batch_size: int = 64,
    device: str | None = None,
    on_error: OnError = "raise",
    shard: str | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> Path:
    """Write a row a pair: `id_a`, `id_b`, `label` (the likeliest level) and `score`.

    The score is the expected level: for homology 0 (nothing in common) to 4 (one family), with two classes the
    probability of the second. Pairs are those of every record of `sequences` with every record of `against`, in the
    order of the files; without `against` those of any two records of `sequences`, each once.

    Args:
        run (`str` or `Path`): Run folder or Hub repository of a pair classifier.
        sequences (`str` or `Path`): FASTA, plain or compressed.
        output (`str` or `Path`): `.tsv`, `.csv`, `.jsonl` or `.parquet`.
        against (`str` or `Path`, *optional*): The other FASTA file; held in memory, as is `sequences` without it.
        batch_size (`int`): Pairs a forward pass; does not change the answer.
        device (`str`, *optional*): Default: a GPU when there is one.
        on_error (`str`): `"skip"` leaves out records that cannot be read, and pairs that are too long for the model,
            and counts them.
        shard (`str`, *optional*): `"i/n"`: only the pairs of the i-th of n shares of `sequences`; needs `against`.
        engine (`"local"` or `"ray"`): `ray` runs the shards of the job on a cluster whose machines see the same
            files, a task a GPU or core, and joins them; needs `against`, too.
        ray_address (`str`, *optional*): Of a running cluster; by default one is started on this machine.
        overwrite (`bool`): Replace an existing output once the new one is whole.
        resume (`bool`): Go on after an interruption, with the same model, inputs and options.
        progress (`bool`): Show a progress bar on stderr.

    Returns:
        `Path`: `output`.

    Raises:
        FileNotFoundError: no such FASTA file or model.
        FileExistsError: the output exists.
        ValueError: not FASTA, a model of other things, a pair too long for it, or a resume of other work.
    """
    check_count("batch_size", batch_size)
    if not compares_pairs(run):
        raise ValueError(f"{run} compares no pairs; this takes a run with head {_HEAD}")
    if shard is not None and against is None:
        raise ValueError("shares of all pairs of one file are not made; give the file as --against too")
    if against is not None and is_stream(against):
        raise ValueError(f"{against} is a pipe; save the file that the others are compared with")
    part, remarks, folder = Shard.parse(shard, sequences), Remarks(on_error), model_folder(run)
    inputs = [folder, sequences, *([] if against is None else [against])]
    settings = describe_work(
        folder, sequences, resume=resume, per="pair", on_error=on_error,
        against=None if against is None else fingerprint(against)["sha256"], **part.settings,
    )  # fmt: skip
    with TableWriter(
        output, PAIRS, job="predict", inputs=inputs, settings=settings, overwrite=overwrite, resume=resume
    ) as table:
        if not table.finished:
            loaded = load_model(run, None, device=device)
            first = part.of_records(read_sequences(sequences, loaded.reading, remarks, progress=progress), sequences)
            other = None if against is None else read_sequences(against, loaded.reading, remarks)
            pairs = _readable(_all_pairs(_filled(first, remarks), other, remarks), loaded, remarks)
            pairs = islice(pairs, table.rows_done, None)
            while block := list(islice(pairs, _AT_ONCE)):
                table.write(_rows(block, loaded, batch_size))
    remarks.warn(str(sequences))
    return Path(output)


def _filled(records: Any, remarks: Remarks) -> Iterator[Any]:
    for record in records:
        if record.sequence:
            yield record
        else:
            remarks.note("records hold no residue and are in no pair", repr(record.id))


def _all_pairs(first: Iterator[Any], other: Any, remarks: Remarks) -> Iterator[_Pair]:
    if other is not None:
        held = list(_filled(other, remarks))
        yield from ((a, b) for a in first for b in held)
        return
    held = list(first)
    if len(held) == 1:
        remarks.note("record is alone and makes no pair; give others with --against", repr(held[0].id))
    yield from ((a, b) for place, a in enumerate(held) for b in held[place + 1 :])


def _readable(pairs: Iterator[_Pair], loaded: Loaded, remarks: Remarks) -> Iterator[_Pair]:
    """Pairs that fit into the model."""
    most = int(loaded.encoder.model_max_length)
    places = getattr(loaded.config, "max_position_embeddings", None)
    most = min(most, places) if places and getattr(loaded.config, "position_embedding", "learned") else most
    special = loaded.encoder.num_special_tokens_to_add(pair=True)
    for a, b in pairs:
        if len(a.sequence) + len(b.sequence) + special > most:
            remarks.problem(
                "pairs left out",
                f"{a.id!r} and {b.id!r} have {len(a.sequence) + len(b.sequence):,} residues, more than the "
                f"{most - special:,} that the model reads; cut them into domains, or pass --on-error skip",
            )
        else:
            yield a, b


def _rows(pairs: list[_Pair], loaded: Loaded, batch_size: int) -> list[dict[str, Any]]:
    order = np.argsort([len(a.sequence) + len(b.sequence) for a, b in pairs], kind="stable")
    chances = np.zeros((len(pairs), loaded.config.num_labels))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        chances[chosen] = _probabilities([pairs[place] for place in chosen], loaded)
    if not np.isfinite(chances).all():
        raise ValueError(f"{loaded.name} gives numbers that are none; its weights are damaged")
    names = [str(loaded.config.id2label[number]) for number in range(chances.shape[1])]
    expected = chances @ np.arange(chances.shape[1])
    return [
        {"id_a": a.id, "id_b": b.id, "label": names[best], "score": round_score(float(score))}
        for (a, b), best, score in zip(pairs, chances.argmax(1).tolist(), expected, strict=True)
    ]


@torch.inference_mode()
def _probabilities(pairs: list[_Pair], loaded: Loaded) -> np.ndarray:
    """Probability of each level, (pairs, levels), in double precision: no batch or order shows in it."""
    model = loaded.exact
    sides = ([pair[side].sequence for pair in pairs] for side in (0, 1))
    batch = loaded.encoder(*sides, padding=True, return_tensors="pt")
    names = ("input_ids", "attention_mask", "token_type_ids")
    logits = model(**{name: batch[name].to(model.device) for name in names}).logits
    return logits.softmax(-1).cpu().numpy()
