"""Classify the records of a FASTA file with a fine-tuned run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from seqformers.datasets_scripts.common.remarks import OnError, Remarks
from seqformers.hub.load import Loaded
from seqformers.inference.record_rows import RecordRows, note_unknown
from seqformers.inference.scores import RecordScore, Scorer
from seqformers.inference.windowing import Windowing

__all__ = ["COLUMNS", "predict", "predict_records"]

COLUMNS = {"id": str, "label": str, "score": float, "num_windows": int}
_HEAD = "AutoModelForSequenceClassification"


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
    precision: str = "fp32",
    on_error: OnError = "raise",
    shard: str | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> Path:
    """Write one row a record: `id`, `label`, `score`, `num_windows`.

    A record is cut into windows (the last one ends with the record), each window gets class probabilities, and the
    record gets their mean. `score` is the mean probability of the positive class (the second of two), or of the class
    named in `label` when there are more, or when a record may have several labels; for a regression it is the value
    and `label` is empty. A record without a known token (shorter than a token, or only N) gets an empty label and
    score, `num_windows` 0, and is counted in a warning. Memory does not grow with the file.

    Scores have the digits that do not depend on batch size, threads, device or a resume (`round_score`): four
    significant ones of a probability or of what it lacks to 1.

    Args:
        run (`str` or `Path`): Run folder or Hub repository of a sequence classifier.
        sequences (`str` or `Path`): FASTA or FASTQ, plain or compressed; a pipe or `-`.
        output (`str` or `Path`): `.tsv`, `.csv`, `.jsonl` or `.parquet`.
        window (`int`, *optional*): Bases (or residues) a window; default what the model was trained on.
        step (`int`, *optional*): Between window starts, at most `window`; default `window`.
        both_strands (`bool`): Average over both strands (DNA).
        batch_size (`int`): Windows a forward pass; does not change the answer.
        device (`str`, *optional*): Default: a GPU when there is one.
        precision (`str`): `"fp32"`; `"bf16"`, faster where the hardware has it, scores within about 0.01;
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
        FileNotFoundError: no such FASTA file or model.
        FileExistsError: the output exists.
        ValueError: not FASTA, a run without a classifier, records that are not what the model reads, an option out of
            range, an output that is an input, or a resume of other work.
        OSError: another process is writing the output.
    """
    return RecordRows("predict", COLUMNS, _HEAD, "score", predict_records).write(
        run, sequences, output, window=window, step=step, both_strands=both_strands, batch_size=batch_size,
        device=device, precision=precision, on_error=on_error, shard=shard, engine=engine, ray_address=ray_address,
        overwrite=overwrite, resume=resume, progress=progress,
    )  # fmt: skip


def predict_records(
    records: Iterable[Any],
    loaded: Loaded,
    windowing: Windowing | None = None,
    *,
    batch_size: int = 64,
    remarks: Remarks | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `predict` for records that hold `id` and `sequence`.

    Args:
        records (iterable): What to score, consumed as needed.
        loaded (`Loaded`): Model and tokenizer.
        windowing (`Windowing`, *optional*): How records are cut; default what the model was trained on.
        batch_size (`int`): Windows a forward pass; does not change the answer.
        remarks (`Remarks`, *optional*): Told of records without a score.
    """
    scorer = Scorer(loaded, batch_size=batch_size)
    for result in scorer.score_records(records, (windowing or Windowing()).for_model(loaded)):
        if result.scores is None and remarks is not None:
            note_unknown(remarks, result.id, "score")
        yield _row(result, scorer)


def _row(result: RecordScore, scorer: Scorer) -> dict[str, Any]:
    row: dict[str, Any] = {"id": result.id, "label": None, "score": None, "num_windows": result.num_windows}
    if result.scores is None:
        return row
    label = scorer.labels[scorer.best(result.scores)] if scorer.is_probability else ""
    return {**row, "label": label, "score": scorer.round(float(result.scores[scorer.column(None, result.scores)]))}
