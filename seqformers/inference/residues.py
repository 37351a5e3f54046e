"""Label every residue (or base, or k-mer's first base) of the records of a FASTA file with a token classifier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import torch

from seqformers.clusters import runs_on_ray
from seqformers.datasets_scripts.common.remarks import OnError, Remarks
from seqformers.files import Output
from seqformers.hub.load import Loaded, load_model, model_folder, read_config
from seqformers.inference.engine import run_windows
from seqformers.inference.records import describe_work, gff_name, read_sequences
from seqformers.inference.scores import round_score
from seqformers.inference.windowing import check_count, context_letters
from seqformers.shards import Shard
from seqformers.tables import TableWriter

__all__ = ["LINES", "RESIDUES", "labels_residues", "letters_of", "predict_residues"]

RESIDUES = {"id": str, "position": int, "residue": str, "label": str, "score": float}
LINES = {"id": str, "length": int, "labels": str, "confidence": str}
_HEAD = "AutoModelForTokenClassification"
_GFF = (".gff", ".gff3")
_OVERLAP = 64  # residues that neighbouring pieces of a long protein have in common
_AMBIGUOUS = "BJOUXZ"
_LONGEST = 4096  # residues of a piece, where the model reads more
# What classes of the field are called by one letter.
_LETTERS = {
    "helix": "H", "strand": "E", "coil": "C", "inside": "i", "outside": "o", "membrane": "M", "signal": "S",
    "signal_peptide": "S",
}  # fmt: skip
# ... and as features of the Sequence Ontology.
_FEATURES = {
    "M": "transmembrane_helix", "S": "signal_peptide", "i": "cytoplasmic_polypeptide_region",
    "o": "non_cytoplasmic_polypeptide_region", "H": "alpha_helix", "E": "beta_strand", "G": "three_ten_helix",
    "I": "pi_helix",
}  # fmt: skip


def labels_residues(run: str | Path) -> bool:
    """Whether a run, packaged model or Hub repository labels residues and not whole records."""
    heads = read_config(model_folder(run), name=run).get("architectures") or [""]
    return str(heads[0]).endswith("ForTokenClassification")


@runs_on_ray("sequences")
def predict_residues(
    run: str | Path,
    sequences: str | Path,
    output: str | Path,
    *,
    per: Literal["record", "residue"] = "record",
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
    """Write the label of every residue: a row a record, a row a residue, or the runs of one label as GFF3.

    A row a record (`id`, `length`, `labels`, `confidence`) holds a letter a residue, as DSSP's `HEC` or `GHIBESTC`
    where the classes are those, `i`, `o`, `M`, `S` for topologies, and a digit a residue: the tenths of the
    probability of that letter, 9 for 0.9 and more (read the column as text). A row a residue (`id`, `position` from
    1, `residue`, `label`, `score`) holds the name of the class and its probability.

    Proteins longer than the model reads are cut into pieces that overlap; a residue is labelled in the piece that
    shows more of both its sides.

    Args:
        run (`str` or `Path`): Run folder or Hub repository of a token classifier with a token a letter.
        sequences (`str` or `Path`): FASTA or FASTQ, plain or compressed; a pipe or `-`.
        output (`str` or `Path`): `.tsv`, `.csv`, `.jsonl` or `.parquet`; `.gff3` for segments (positions from 1).
        per (`"record"` or `"residue"`): What a row of the table is.
        batch_size (`int`): Pieces a forward pass; does not change the answer.
        device (`str`, *optional*): Default: a GPU when there is one.
        on_error (`str`): `"skip"` leaves out records that cannot be read and counts them.
        shard (`str`, *optional*): `"i/n"`: only the i-th of n shares of the records; tables only.
        engine (`"local"` or `"ray"`): `ray` runs the shards of the job on a cluster whose machines see the same
            files, a task a GPU or core, and joins them.
        ray_address (`str`, *optional*): Of a running cluster; by default one is started on this machine.
        overwrite (`bool`): Replace an existing output once the new one is whole.
        resume (`bool`): Go on after an interruption, with the same model, input and options.
        progress (`bool`): Show a progress bar on stderr.

    Returns:
        `Path`: `output`.

    Raises:
        FileNotFoundError: no such FASTA file or model.
        FileExistsError: the output exists.
        ValueError: not FASTA, a model of k-mers, an option out of range, or a resume of other work.
    """
    check_count("batch_size", batch_size)
    if per not in ("record", "residue"):
        raise ValueError(f"per is 'record' or 'residue', not {per!r}")
    segments = Path(output).suffix in _GFF
    if segments and shard is not None:
        raise ValueError("shards are tables; write .tsv, .csv, .jsonl or .parquet, or GFF3 without --shard")
    part, remarks, folder = Shard.parse(shard, sequences), Remarks(on_error), model_folder(run)
    options: dict[str, Any] = {
        "inputs": [folder, sequences],
        "settings": describe_work(
            folder, sequences, resume=resume, per="segment" if segments else per, on_error=on_error, **part.settings
        ),
        "overwrite": overwrite,
        "resume": resume,
    }
    if segments:
        with Output(output, "predict", **options) as listing:
            if not listing.finished:
                loaded = _loaded(run, device)
                records = _told(read_sequences(sequences, loaded.reading, remarks, progress=progress), loaded, remarks)
                with listing.start().open("w", encoding="utf-8") as file:
                    file.write("##gff-version 3\n")
                    for record, scores in _scored(records, loaded, batch_size):
                        file.writelines(_features(record, scores, loaded))
                listing.finish()
    else:
        with TableWriter(output, LINES if per == "record" else RESIDUES, job="predict", **options) as table:
            if not table.finished:
                loaded = _loaded(run, device)
                records = read_sequences(sequences, loaded.reading, remarks, progress=progress)
                mine = _told(part.of_records(records, sequences), loaded, remarks)
                done = table.rows_done
                for record, scores in _scored(_left(mine, done, per), loaded, batch_size):
                    rows = _line(record, scores, loaded) if per == "record" else _rows(record, scores, loaded)
                    table.write(rows)
    remarks.warn(str(sequences))
    return Path(output)


def letters_of(names: list[str]) -> list[str]:
    """One letter a class: the name itself, what the field calls it, or letters in the order of the alphabet.

    Examples:
        >>> letters_of(["helix", "strand", "coil"]), letters_of(["A1", "A2"])
        (['H', 'E', 'C'], ['A', 'B'])
    """
    found = [name if len(name) == 1 else _LETTERS.get(name.lower(), "") for name in names]
    if all(found) and len(set(found)) == len(found):
        return found
    return [chr(ord("A") + number) if number < 26 else "?" for number in range(len(names))]


def _loaded(run: str | Path, device: str | None) -> Loaded:
    loaded = load_model(run, _HEAD, device=device)
    if loaded.reading.letters_per_token != 1 or loaded.reading.token_step != 1:
        raise ValueError(f"{loaded.name} reads k-mers; labels of single letters need a model with a token a letter")
    return loaded


def _told(records: Iterable[Any], loaded: Loaded, remarks: Remarks) -> Iterator[Any]:
    """The records; those without a residue are counted, and letters of proteins that stand for no one residue."""
    ambiguous = "" if loaded.reading.is_nucleic else _AMBIGUOUS
    for record in records:
        if not record.sequence:
            remarks.note("records hold no residue and got no label", repr(record.id))
        elif odd := sum(map(record.sequence.upper().count, ambiguous)):
            remarks.note(
                f"letters {', '.join(ambiguous)} are no one of the 20 residues; their labels rest on the neighbours",
                f"{odd} in {record.id!r}",
                odd,
            )
        yield record


def _left(records: Iterable[Any], done: int, per: str) -> Iterator[Any]:
    """The records of which not every row is written; of the first, `skip` says how many residues are."""
    for record in records:
        rows = 1 if per == "record" else len(record.sequence)
        if done >= rows:
            done -= rows
            continue
        yield _Rest(record.id, record.sequence, done)
        done = 0


class _Rest:
    def __init__(self, name: str, sequence: str, skip: int):
        self.id, self.sequence, self.skip = name, sequence, skip


def _scored(records: Iterable[Any], loaded: Loaded, batch_size: int) -> Iterator[tuple[Any, np.ndarray]]:
    """Records, in order, with the probabilities (length, classes) of their residues."""
    most = min(context_letters(loaded)[1], _LONGEST)
    waiting: list[Any] = []
    for record in records:
        waiting.append(record)
        if len(waiting) >= batch_size or len(record.sequence) > most:
            yield from _together(waiting, loaded, most, batch_size)
            waiting = []
    yield from _together(waiting, loaded, most, batch_size)


def _together(records: list[Any], loaded: Loaded, most: int, batch_size: int) -> Iterator[tuple[Any, np.ndarray]]:
    pieces = [(place, start, stop) for place, record in enumerate(records) for start, stop in _cut(record, most)]
    found = [np.zeros((len(record.sequence), loaded.config.num_labels)) for record in records]
    if pieces:
        windows = [records[place].sequence[start:stop] for place, start, stop in pieces]
        width = max(map(len, windows))

        def forward(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            chance = model(**batch).logits[:, 1:].softmax(-1)  # without the start
            return torch.nn.functional.pad(chance[:, :width], (0, 0, 0, max(width - chance.shape[1], 0)))

        values = run_windows(windows, loaded, forward, batch_size=batch_size, exact=True)
        for (place, start, stop), value in zip(pieces, values, strict=True):
            skip = _shared(most) // 2 if start else 0  # the piece before shows more of these
            found[place][start + skip : stop] = value[skip : stop - start]
    yield from zip(records, found, strict=True)


def _cut(record: Any, most: int) -> list[tuple[int, int]]:
    """Pieces `[start, stop)` of at most `most` residues; neighbours overlap."""
    length = len(record.sequence)
    if length <= most:
        return [(0, length)] if length else []
    shared = _shared(most)
    return [(start, min(start + most, length)) for start in range(0, length - shared, most - shared)]


def _shared(most: int) -> int:
    """Residues that neighbouring pieces have in common."""
    return min(_OVERLAP, most // 2)


def _names(loaded: Loaded) -> list[str]:
    return [str(loaded.config.id2label[number]) for number in range(loaded.config.num_labels)]


def _line(record: Any, scores: np.ndarray, loaded: Loaded) -> list[dict[str, Any]]:
    letters = letters_of(_names(loaded))
    labels = "".join(letters[number] for number in scores.argmax(1).tolist()) if len(scores) else ""
    digits = "".join(map(str, (scores.max(1) * 10).astype(int).clip(max=9).tolist())) if len(scores) else ""
    return [{"id": record.id, "length": len(record.sequence), "labels": labels, "confidence": digits}]


def _rows(record: Any, scores: np.ndarray, loaded: Loaded) -> list[dict[str, Any]]:
    names, best = _names(loaded), scores.argmax(1)
    chance = scores[np.arange(len(scores)), best]
    return [
        {
            "id": record.id, "position": place + 1, "residue": record.sequence[place].upper(),
            "label": names[best[place]], "score": round_score(float(chance[place])),
        }
        for place in range(record.skip, len(scores))
    ]  # fmt: skip


def _features(record: Any, scores: np.ndarray, loaded: Loaded) -> Iterator[str]:
    """A line of GFF3 for each run of one label, with its mean probability."""
    if not len(scores):
        return
    names, best = _names(loaded), scores.argmax(1).tolist()
    letters, name, start = letters_of(names), gff_name(record.id), 0
    yield f"##sequence-region {name} 1 {len(scores)}\n"
    for number, run in groupby(best):
        stop = start + sum(1 for _ in run)
        kind = _FEATURES.get(letters[number], "region")
        chance = round_score(float(scores[start:stop, number].mean()))
        label = quote(names[number], safe=" ._-")
        yield f"{name}\tseqformers\t{kind}\t{start + 1}\t{stop}\t{chance:g}\t.\t.\tNote={label}\n"
        start = stop
