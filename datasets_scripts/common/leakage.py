"""What a data set gives away: sequence shared between splits, and how far a shortcut gets.

K-mer content is compared by sourmash (FracMinHash; nucleotides on both strands); the shortcut models are logistic
regressions of scikit-learn. Works on any data set with a sequence and, for the shortcuts, a class label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.metrics import recall_score, roc_auc_score
from sourmash import MinHash

from seqformers.datasets_scripts.common.shortcuts import fit_shortcut, gc_content, kmer_shares, residue_shares

__all__ = [
    "Sample",
    "read_leakage",
    "read_sample",
    "report_lines",
    "report_markdown",
    "shortcuts",
    "sketch_leakage",
]

_MAX_HASH_READS = 50_000


@dataclass(frozen=True)
class Sample:
    """Rows of one split: sequences and, where they have one, class labels (`None` without)."""

    sequences: Sequence[str]
    labels: NDArray[np.int64] | None = None


def read_sample(
    files: Sequence[Path],
    *,
    sequence: str = "sequence",
    label: str | None = "label",
    rows: int = 20_000,
    seed: int = 0,
) -> Sample:
    """Read a random sample of a split written as Parquet, one file's columns in memory at a time.

    Args:
        files (`Sequence[Path]`): Parquet files of the split.
        sequence (`str`, *optional*, defaults to `"sequence"`): Column of the letters.
        label (`str`, *optional*, defaults to `"label"`): Column of the class; missing or incomplete: no labels.
        rows (`int`, *optional*, defaults to 20,000): Rows to take; all if there are fewer.
        seed (`int`, *optional*, defaults to 0): Which rows.
    """
    counts = [pq.read_metadata(file).num_rows for file in files]
    total = sum(counts)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(total, rows, replace=False)) if rows < total else np.arange(total)
    sequences: list[str] = []
    labels: list[Any] = []
    before = 0
    for file, count in zip(files, counts, strict=True):
        part = chosen[(chosen >= before) & (chosen < before + count)] - before
        names = [sequence] + ([label] if label in pq.read_schema(file).names else [])
        table = pq.read_table(file, columns=names).take(part)
        sequences += table.column(sequence).to_pylist()
        labels += table.column(label).to_pylist() if label in table.column_names else [None] * len(part)
        before += count
    known = bool(labels) and all(isinstance(value, int) for value in labels)
    return Sample(sequences, np.asarray(labels, dtype=np.int64) if known else None)


def sketch_leakage(
    splits: Mapping[str, Iterable[str]],
    *,
    k: int = 31,
    scaled: int = 100,
    molecule: Literal["dna", "protein"] = "dna",
    reference: str = "train",
) -> dict[str, Any]:
    """Share of each split's distinct k-mers that the reference split has too, from sketches: for whole genomes.

    Args:
        splits (`Mapping[str, Iterable[str]]`): Sequences of each split; they are streamed.
        k (`int`, *optional*, defaults to 31): Letters of a k-mer.
        scaled (`int`, *optional*, defaults to 100): One k-mer in so many is kept, the same ones in every split.
        molecule (`"dna"` or `"protein"`, *optional*): DNA counts a k-mer and its reverse complement as one.
        reference (`str`, *optional*, defaults to `"train"`): The split that the others are compared with.

    Returns:
        `dict`: `k`, `scaled`, and per other split `kmers` (distinct, estimated) and `contained` (share, 0 to 1).
    """
    sketches = {}
    for name, sequences in splits.items():
        sketch = _sketch(k, scaled, molecule)
        for sequence in sequences:
            if molecule == "dna":
                sketch.add_sequence(sequence, True)
            else:
                sketch.add_protein(sequence)
        sketches[name] = sketch
    others = {name: sketch for name, sketch in sketches.items() if name != reference}
    return {
        "k": k,
        "scaled": scaled,
        "reference": reference,
        "splits": {
            name: {
                "kmers": len(sketch) * scaled,
                "contained": float(sketch.contained_by(sketches[reference])) if len(sketch) else 0.0,
            }
            for name, sketch in others.items()
        },
    }


def _sketch(k: int, scaled: int, molecule: str) -> Any:
    return MinHash(n=0, ksize=k, scaled=scaled, is_protein=molecule == "protein")


def read_leakage(
    splits: Mapping[str, Sample],
    *,
    k: int = 21,
    molecule: Literal["dna", "protein"] = "dna",
    reference: str = "train",
) -> dict[str, Any]:
    """How many rows of each split share k-mers with the rows of the reference split (both strands of DNA).

    Args:
        splits (`Mapping[str, Sample]`): Rows; at most 50,000 of the reference are compared with.
        k (`int`, *optional*, defaults to 21): Letters of a k-mer.
        molecule (`"dna"` or `"protein"`, *optional*): Kind of letters.
        reference (`str`, *optional*, defaults to `"train"`): The split that the others are compared with.

    Returns:
        `dict`: per other split `rows`, `identical` (share of rows that are in the reference letter by letter), `any`
        (share of rows with a shared k-mer), `half` (share with at least half of their k-mers shared), `kmers` (share
        of all k-mers).
    """
    known_sequences = set(splits[reference].sequences)
    known = _hashes(splits[reference].sequences[:_MAX_HASH_READS], k, molecule)[0]
    known = np.unique(known)
    result: dict[str, Any] = {"k": k, "reference": reference, "splits": {}}
    for name, sample in splits.items():
        if name == reference:
            continue
        hashes, row = _hashes(sample.sequences, k, molecule)
        place = np.minimum(np.searchsorted(known, hashes), max(0, len(known) - 1))
        shared = known[place] == hashes if len(known) else np.zeros(len(hashes), dtype=bool)
        each = np.bincount(row, weights=shared, minlength=len(sample.sequences))
        of = np.maximum(1, np.bincount(row, minlength=len(sample.sequences)))
        result["splits"][name] = {
            "rows": len(sample.sequences),
            "identical": float(np.mean([text in known_sequences for text in sample.sequences])),
            "any": float((each > 0).mean()),
            "half": float((each / of >= 0.5).mean()),
            "kmers": float(shared.mean()) if len(shared) else 0.0,
        }
    return result


def _hashes(sequences: Sequence[str], k: int, molecule: str) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of all k-mers of all rows, and the row of each."""
    sketch = _sketch(k, 1, molecule)
    hashes = [
        np.asarray(sketch.seq_to_hashes(text, force=True, is_protein=molecule == "protein"), dtype=np.uint64)
        for text in sequences
    ]
    row = np.repeat(np.arange(len(hashes)), [len(part) for part in hashes])
    return (np.concatenate(hashes) if hashes else np.zeros(0, dtype=np.uint64)), row


def shortcuts(
    splits: Mapping[str, Sample],
    label_names: Sequence[str] | None = None,
    *,
    molecule: Literal["dna", "protein"] = "dna",
    kmers: Sequence[int] = (4,),
    train: str = "train",
    test: str = "test",
) -> dict[str, Any]:
    """What length and composition say about the class: their statistics, and the scores of models that see only them.

    Logistic regressions on length, on GC content (proteins: residue composition), and on k-mer shares are fitted to
    the train rows; the strength of the penalty is chosen on the validation rows where there are some.

    Args:
        splits (`Mapping[str, Sample]`): Rows with labels.
        label_names (`Sequence[str]`, *optional*): Names of the classes.
        molecule (`"dna"` or `"protein"`, *optional*): Kind of letters.
        kmers (`Sequence[int]`, *optional*, defaults to `(4,)`): Word lengths of the k-mer models (DNA).
        train (`str`, *optional*, defaults to `"train"`): Split to fit on.
        test (`str`, *optional*, defaults to `"test"`): Split to score on.

    Returns:
        `dict`: `statistics` per split and class (rows, length and GC mean and standard deviation), `scores` per model
        (`macro_recall`, `auroc` for two classes), `chance`.
    """
    labelled = {name: sample for name, sample in splits.items() if sample.labels is not None and len(sample.sequences)}
    result: dict[str, Any] = {"statistics": {}, "scores": {}}
    for name, sample in labelled.items():
        assert sample.labels is not None
        result["statistics"][name] = {
            (label_names[value] if label_names else str(value)): _statistics(sample, sample.labels == value, molecule)
            for value in np.unique(sample.labels)
        }
    if train not in labelled or test not in labelled or len(np.unique(labelled[train].labels)) < 2:  # type: ignore[arg-type]
        return result
    models: dict[str, Callable[[Sequence[str]], Any]] = {"length": _lengths}
    if molecule == "dna":
        models |= {"gc": lambda texts: csr_matrix(gc_content(texts))}
        models |= {f"{k}-mer": partial(kmer_shares, k=k) for k in kmers}
    else:
        models |= {"composition": residue_shares}
    for model, features in models.items():
        result["scores"][model] = _fit_and_score(features, labelled, train, test)
    result["chance"] = 1 / len(np.unique(labelled[train].labels))  # type: ignore[arg-type]
    return result


def _lengths(sequences: Sequence[str]) -> Any:
    return csr_matrix(np.array([[float(len(text))] for text in sequences]))


def _statistics(sample: Sample, rows: NDArray[np.bool_], molecule: str) -> dict[str, float]:
    texts = [text for text, chosen in zip(sample.sequences, rows, strict=True) if chosen]
    lengths = np.array([len(text) for text in texts], dtype=float)
    found = {"rows": len(texts), "length_mean": float(lengths.mean()), "length_sd": float(lengths.std())}
    if molecule == "dna":
        gc = gc_content(texts)
        found |= {"gc_mean": float(gc.mean()), "gc_sd": float(gc.std())}
    return found


def _fit_and_score(
    features: Callable[[Sequence[str]], Any], samples: Mapping[str, Sample], train: str, test: str
) -> dict[str, float]:
    labels = {name: np.asarray(sample.labels) for name, sample in samples.items()}
    classes = 1 + max(int(part.max()) for part in labels.values())
    held = features(samples["validation"].sequences) if "validation" in samples else None

    def macro_recall(outputs: np.ndarray, split: str) -> float:
        return float(recall_score(labels[split], outputs.argmax(axis=1), average="macro", zero_division=0))

    outputs, strength = fit_shortcut(
        features(samples[train].sequences),
        labels[train],
        features(samples[test].sequences),
        classes=classes,
        validation=held,
        score=partial(macro_recall, split="validation"),
    )
    scores = {"macro_recall": macro_recall(outputs, test), "penalty_c": strength}
    if classes == 2 and len(np.unique(labels[test])) == 2:
        scores["auroc"] = float(roc_auc_score(labels[test], outputs[:, 1] - outputs[:, 0]))
    return scores


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """The leakage and the best shortcut of a report, in one line each.

    Args:
        report (`Mapping[str, Any]`): As in [`report_markdown`].
    """
    lines = []
    if reads := report.get("read_leakage"):
        lines += [
            f"leakage: {_percent(row['half'])} of the {split} rows share at least half of their {reads['k']}-mers "
            f"with {reads['reference']}, {_percent(row['identical'])} are identical"
            for split, row in reads["splits"].items()
        ]
    elif sketched := report.get("genome_leakage"):
        lines += [
            f"leakage: {_percent(row['contained'])} of the {sketched['k']}-mers of {split} occur in "
            f"{sketched['reference']}"
            for split, row in sketched["splits"].items()
        ]
    if scores := report.get("shortcuts", {}).get("scores"):
        name, row = max(scores.items(), key=lambda item: item[1]["macro_recall"])
        lines.append(f"shortcut: a {name} regression alone has macro recall {_percent(row['macro_recall'])} on test")
    return lines


def report_markdown(report: Mapping[str, Any]) -> str:
    """Render what the functions here return as sections of a card.

    Args:
        report (`Mapping[str, Any]`): Any of `genome_leakage`, `read_leakage`, `shortcuts`, `genomes`, `dropped`.
    """
    lines = ["## Leakage and shortcuts", ""]
    if genomes := report.get("genomes"):
        lines += ["| split | class | genomes | groups | nt |", "|---|---|---:|---:|---:|"]
        for split, classes in genomes.items():
            for name, row in classes.items():
                lines.append(f"| {split} | {_cell(name)} | {row['genomes']:,} | {row['groups']:,} | {row['nt']:,} |")
        lines.append("")
    if sketched := report.get("genome_leakage"):
        lines += [
            f"- whole genomes: {_percent(row['contained'])} of the {sketched['k']}-mers of {split} occur in "
            f"{sketched['reference']} (both strands, FracMinHash scaled {sketched['scaled']})"
            for split, row in sketched["splits"].items()
        ]
    if reads := report.get("read_leakage"):
        lines += [
            f"- rows of {split}: {_percent(row['any'])} share a {reads['k']}-mer with {reads['reference']}, "
            f"{_percent(row['half'])} at least half of theirs, {_percent(row['identical'])} are identical"
            for split, row in reads["splits"].items()
        ]
    if found := report.get("shortcuts"):
        lines += ["", "| split | class | rows | mean length | mean GC |", "|---|---|---:|---:|---:|"]
        for split, classes in found["statistics"].items():
            for name, row in classes.items():
                gc = f"{row['gc_mean']:.3f} ± {row['gc_sd']:.3f}" if "gc_mean" in row else ""
                lines.append(f"| {split} | {_cell(name)} | {row['rows']:,} | {row['length_mean']:.1f} | {gc} |")
        lines += ["", "| shortcut model | macro recall, test | AUROC, test |", "|---|---:|---:|"]
        lines += [
            f"| {name} | {_percent(row['macro_recall'])} | {row.get('auroc', float('nan')):.3f} |"
            for name, row in found["scores"].items()
        ]
    if dropped := report.get("dropped"):
        lines += ["", "Dropped: " + "; ".join(f"{number:,} ({what})" for what, number in dropped.items()) + "."]
    left_out = report.get("input", {}).get("left_out", {})
    if left_out:
        lines += ["", "Left out: " + "; ".join(f"{number:,} {why}" for why, number in left_out.items()) + "."]
    return "\n".join(lines)


def _cell(name: str) -> str:
    """A name of the user's as the text of a table cell: no HTML, no column of its own."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(name.split())).replace("|", "\\|")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
