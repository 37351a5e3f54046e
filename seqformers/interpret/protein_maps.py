"""Pictures of two proteins aligned by a model, and of the contacts a model sees in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.hub.load import load_model
from seqformers.tables import refuse_existing

__all__ = ["PROTEIN_METHODS", "alignment_map", "contact_map", "explain_proteins", "plot_alignment", "plot_contacts"]

PROTEIN_METHODS = ("alignment", "contacts")
_LARGEST_MAP = 4_000**2  # pairs of residues; a map of them is 64 MB


def explain_proteins(
    run: str | Path,
    fasta: str | Path,
    output: str | Path,
    method: str,
    *,
    plots: int = 20,
    device: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Align every record with the first one, or predict the contacts of every record; tables and pictures.

    Writes `alignment.tsv` (first, second, score: one row a pair) or `contacts.tsv` (id, i, j, probability: one row a
    pair of residues at least 6 apart, 1-based), and pictures under `plots/`.

    Args:
        run (`str` or `Path`): Run folder of a PLUS-RNN (alignment) or of a model with a contact head (contacts).
        fasta (`str` or `Path`): Proteins, plain or compressed.
        output (`str` or `Path`): Folder to write.
        method (`str`): Of `PROTEIN_METHODS`.
        plots (`int`, defaults to 20): Pictures for so many, in file order.
        device (`str`, *optional*): `cpu`, `cuda`, ...; a GPU when there is one.
        overwrite (`bool`): Replace `output`.

    Returns:
        `Path`: `output`.

    Raises:
        ValueError: the method is unknown, the model cannot do it, a record is empty or too long for a map, or there is
            nothing to align.
        FileExistsError: `output` is there and `overwrite` was not given.
    """
    if method not in PROTEIN_METHODS:
        raise ValueError(f"unknown method {method!r}; choose from {', '.join(PROTEIN_METHODS)}")
    loaded = load_model(run, None, device=device)
    model, tokenizer = loaded.model, loaded.encoder
    records = [(record.id, record.sequence) for record in read_fasta(fasta)]
    for name, letters in records:
        if not letters:
            raise ValueError(f"{fasta}: record {name!r} is empty")
        other = records[0][1] if method == "alignment" else letters
        if len(letters) * len(other) > _LARGEST_MAP:
            raise ValueError(
                f"{fasta}: record {name!r} has {len(letters):,} residues, and a map of {len(letters):,} x "
                f"{len(other):,} is too large to draw; cut it into domains"
            )
    if method == "alignment" and len(records) < 2:
        raise ValueError(f"{fasta} holds {len(records)} record; alignment needs two or more")
    output = refuse_existing(output, overwrite=overwrite)
    (output / "plots").mkdir(parents=True, exist_ok=True)
    lines = []
    for number, (name, letters) in enumerate(records[1:] if method == "alignment" else records, start=1):
        if method == "alignment":
            first = records[0][0]
            weights, score = alignment_map(model, tokenizer, records[0][1], letters)
            lines.append(f"{first}\t{name}\t{score:.6g}")
            figure = plot_alignment(weights, score, names=(first, name)) if number <= plots else None
        else:
            found = contact_map(model, tokenizer, letters)
            i, j = np.triu_indices(len(letters), k=6)
            rows = zip(i + 1, j + 1, found[i, j], strict=True)
            lines += [f"{name}\t{a}\t{b}\t{value:.6g}" for a, b, value in rows]
            figure = plot_contacts(found, title=name) if number <= plots else None
        if figure is not None:
            safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)[:80]
            figure.savefig(output / "plots" / f"{number:04d}-{safe}.png", dpi=150)
    header = "first\tsecond\tscore" if method == "alignment" else "id\ti\tj\tprobability"
    (output / f"{method}.tsv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return output


def alignment_map(model: Any, tokenizer: Any, first: str, second: str) -> tuple[np.ndarray, float]:
    """Weights with which PLUS-RNN aligns the residues of two proteins.

    Args:
        model (`PlusRnnForPairClassification` or `PlusRnnForPreTraining`): Trained model.
        tokenizer (`ProteinTokenizer`): Its tokenizer.
        first (`str`): First protein.
        second (`str`): Second protein.

    Returns:
        `tuple` of ω (`np.ndarray` of shape `(len(first), len(second))`, 0 to 1) and the soft-alignment score.

    Raises:
        ValueError: the model compares no proteins by alignment, or a protein is empty.
    """
    import torch

    from seqformers.modeling.protein.modeling_soft_align import soft_align, soft_align_map

    base = getattr(model, "plus_rnn", None)
    if base is None or base.projection is None:
        raise ValueError(f"{type(model).__name__} does not align proteins; use a PLUS-RNN pre-trained or paired")
    batch = tokenizer(first, second, return_tensors="pt").to(model.device)
    model.eval()
    with torch.no_grad():
        outputs = base(**batch)
        sides = [outputs.residue_mask & (batch["token_type_ids"] == side) for side in (0, 1)]
        score = soft_align(outputs.projection, outputs.projection, *sides)
        omega, _ = soft_align_map(outputs.projection, outputs.projection, *sides)
    weights = omega[0][sides[0][0]][:, sides[1][0]].float().cpu().numpy()
    return weights, float(score)


def contact_map(model: Any, tokenizer: Any, protein: str) -> np.ndarray:
    """Probabilities of contact between all residues of a protein, shape `(len(protein), len(protein))`.

    Raises:
        ValueError: the model predicts no contacts.
    """
    import torch

    if not type(model).__name__.endswith("ForContactPrediction"):
        raise ValueError(f"{type(model).__name__} predicts no contacts")
    batch = tokenizer(protein, return_tensors="pt", return_token_type_ids=False).to(model.device)
    model.eval()
    with torch.no_grad():
        logits = model(**batch).logits[0]
    return logits.float().softmax(-1)[..., 1].cpu().numpy()


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
