"""Pictures of two proteins aligned by a model, and of the contacts a model sees in one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.files import Output, safe_name
from seqformers.hub.load import Loaded
from seqformers.inference.records import read_sequences
from seqformers.interpret.output import ResumedTable
from seqformers.modeling.protein.modeling_soft_align import soft_align, soft_align_map
from seqformers.pictures import save_picture

__all__ = ["PROTEIN_METHODS", "alignment_map", "contact_map", "plot_alignment", "plot_contacts", "write_protein_maps"]

PROTEIN_METHODS = ("alignment", "contacts")
_SCHEMAS: dict[str, dict[str, type]] = {
    "alignment": {"first": str, "second": str, "score": float},
    "contacts": {"id": str, "i": int, "j": int, "probability": float},
}
_LARGEST_MAP = 4_000**2  # pairs of residues; a map of them is 64 MB


def write_protein_maps(
    loaded: Loaded, fasta: str | Path, place: Output, method: str, *, plots: int, remarks: Remarks, progress: bool
) -> None:
    """Align every record with the first one, or predict the contacts of every record; tables and pictures.

    Writes `alignment.tsv` (first, second, score: one row a pair) or `contacts.tsv` (id, i, j, probability: one row a
    pair of residues at least 6 apart, 1-based), and pictures under `plots/`.

    Args:
        loaded (`Loaded`): A PLUS-RNN (alignment) or a model with a contact head (contacts).
        fasta (`str` or `Path`): Proteins, plain or compressed.
        place (`Output`): Folder to write.
        method (`str`): Of `PROTEIN_METHODS`.
        plots (`int`): Pictures for so many, in file order.
        remarks (`Remarks`): Told of records that cannot be used.
        progress (`bool`): Show a progress bar on stderr.

    Raises:
        ValueError: the model cannot do it, a record is empty or too long for a map, or there is nothing to align.
    """
    alignment = method == "alignment"
    _refuse_other_models(loaded.model, method)
    records = _mappable(fasta, loaded, remarks, alignment=alignment, progress=progress)
    ready = list(islice(records, 2 if alignment else 1))
    if alignment and len(ready) < 2:
        raise ValueError(f"{fasta} holds {len(ready)} record that can be used; alignment needs two or more")
    partial = place.start()
    (partial / "plots").mkdir(exist_ok=True)
    first, *others = ready if alignment else [("", ""), *ready]
    with ResumedTable(partial / f"{method}.tsv", _SCHEMAS[method]) as table:
        for number, (name, letters) in enumerate(chain(others, records), start=1):
            i, j = np.triu_indices(len(letters), k=6)
            count = 1 if alignment else len(i)
            if number > plots and not table.is_due(count):
                table.put(count, [])
                continue
            if alignment:
                weights, score = alignment_map(loaded, first[1], letters)
                rows = [{"first": first[0], "second": name, "score": round(score, 6)}]
                figure = plot_alignment(weights, score, names=(first[0], name)) if number <= plots else None
            else:
                found = contact_map(loaded, letters)
                values = found[i, j].round(6).tolist()
                rows = [
                    {"id": name, "i": a, "j": b, "probability": value}
                    for a, b, value in zip((i + 1).tolist(), (j + 1).tolist(), values, strict=True)
                ]
                figure = plot_contacts(found, title=name) if number <= plots else None
            table.put(count, rows)
            if figure is not None:
                save_picture(figure, partial / "plots" / f"{number:04d}-{safe_name(name)}.png", dpi=150)


def _refuse_other_models(model: Any, method: str) -> None:
    if method == "alignment":
        base = getattr(model, "plus_rnn", None)
        if base is None or base.projection is None:
            raise ValueError(f"{type(model).__name__} does not align proteins; use a PLUS-RNN pre-trained or paired")
    elif not type(model).__name__.endswith("ForContactPrediction"):
        raise ValueError(f"{type(model).__name__} predicts no contacts")


def _mappable(
    fasta: str | Path, loaded: Loaded, remarks: Remarks, *, alignment: bool, progress: bool
) -> Iterator[tuple[str, str]]:
    """Id and letters of the records that a map can be drawn of."""
    first = ""
    for record in read_sequences(fasta, loaded.reading, remarks, progress=progress):
        name, letters = record.id, record.sequence
        other = (first or letters) if alignment else letters
        if not letters:
            remarks.problem(
                "records left out", f"{fasta}: record {name!r} is empty; remove it, or pass --on-error skip"
            )
        elif len(letters) * len(other) > _LARGEST_MAP:
            remarks.problem(
                "records left out",
                f"{fasta}: record {name!r} has {len(letters):,} residues, and a map of {len(letters):,} x "
                f"{len(other):,} is too large to draw; cut it into domains, or pass --on-error skip",
            )
        else:
            first = first or letters
            yield name, letters


def alignment_map(loaded: Loaded, first: str, second: str) -> tuple[np.ndarray, float]:
    """Weights with which PLUS-RNN aligns the residues of two proteins.

    Args:
        loaded (`Loaded`): `PlusRnnForPairClassification` or `PlusRnnForPreTraining`, and its tokenizer.
        first (`str`): First protein.
        second (`str`): Second protein.

    Returns:
        `tuple` of ω (`np.ndarray` of shape `(len(first), len(second))`, 0 to 1) and the soft-alignment score.

    Raises:
        ValueError: the model compares no proteins by alignment.
    """
    _refuse_other_models(loaded.model, "alignment")
    base = loaded.exact.plus_rnn
    batch = loaded.encoder(first, second, return_tensors="pt").to(loaded.exact.device)
    with torch.inference_mode():
        outputs = base(**batch)
        sides = [outputs.residue_mask & (batch["token_type_ids"] == side) for side in (0, 1)]
        score = soft_align(outputs.projection, outputs.projection, *sides)
        omega, _ = soft_align_map(outputs.projection, outputs.projection, *sides)
    weights = omega[0][sides[0][0]][:, sides[1][0]].double().cpu().numpy()
    return weights, float(score)


def contact_map(loaded: Loaded, protein: str) -> np.ndarray:
    """Probabilities of contact between all residues of a protein, shape `(len(protein), len(protein))`.

    Raises:
        ValueError: the model predicts no contacts.
    """
    _refuse_other_models(loaded.model, "contacts")
    batch = loaded.encoder(protein, return_tensors="pt", return_token_type_ids=False).to(loaded.exact.device)
    with torch.inference_mode():
        logits = loaded.exact(**batch).logits[0]
    return logits.double().softmax(-1)[..., 1].cpu().numpy()


def plot_alignment(weights: np.ndarray, score: float, *, names: tuple[str, str] = ("first", "second")) -> Figure:
    """Heat map of alignment weights: rows are residues of the first protein, columns of the second.

    Args:
        weights (`np.ndarray` of shape `(n, m)`): From [`alignment_map`].
        score (`float`): Soft-alignment score, written above.
        names (`tuple[str, str]`): Of the two proteins.
    """
    n, m = weights.shape
    side = 4.5 / max(n, m)
    figure = Figure(figsize=(max(2.5, m * side) + 1.6, max(2.0, n * side) + 0.9), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(
        weights,
        cmap="Blues",
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(0.5, m + 0.5, n + 0.5, 0.5),
    )
    axis.set_xlabel(f"residue of {names[1]}")
    axis.set_ylabel(f"residue of {names[0]}")
    axis.set_title(f"soft alignment, score {score:.2f}", fontsize=10)
    figure.colorbar(image, ax=axis, label="weight ω")
    return figure


def plot_contacts(probabilities: np.ndarray, truth: np.ndarray | None = None, *, title: str = "") -> Figure:
    """Contact map: predicted above the diagonal and, when known, true contacts below it.

    Args:
        probabilities (`np.ndarray` of shape `(n, n)`): From [`contact_map`].
        truth (`np.ndarray` of shape `(n, n)`, *optional*): 1 contact, 0 none, negative unknown.
        title (`str`): Heading.

    Raises:
        ValueError: the two maps differ in shape.
    """
    shown = probabilities
    if truth is not None:
        if truth.shape != probabilities.shape:
            raise ValueError(f"the true map has shape {truth.shape}, the predicted one {probabilities.shape}")
        below = np.tri(len(truth), k=-1, dtype=bool)
        shown = np.where(below, np.where(truth < 0, np.nan, truth), probabilities)
    n = len(shown)
    figure = Figure(figsize=(5.2, 4.4), layout="constrained")
    axis = figure.subplots()
    axis.set_facecolor("#dddddd")
    image = axis.imshow(
        shown, cmap="magma_r", vmin=0, vmax=1, interpolation="nearest", extent=(0.5, n + 0.5, n + 0.5, 0.5)
    )
    axis.set_xlabel("residue")
    axis.set_ylabel("residue")
    axis.set_title(
        title or ("predicted above, true below" if truth is not None else "predicted contacts"), fontsize=10
    )
    figure.colorbar(image, ax=axis, label="probability of contact")
    return figure
