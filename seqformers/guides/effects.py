"""What a guide model looks at: the effect of every letter at every place, and the motifs of its filters.

The effect of a letter at a place is by how much it moves the prediction, on average over many contexts: the letter is
put there in each of them, and the mean over the four letters taken off. The motif of a filter is made of the windows
whose activation is above half of its largest (Kelley et al. 2016, Genome Research 26:990).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.datasets_scripts.common.streams import check_source
from seqformers.files import Output, fingerprint
from seqformers.guides.scorer import GuideScorer
from seqformers.guides.sites import CONTEXT, PAM_LENGTH, PROTOSPACER, UPSTREAM, Pam, find_sites
from seqformers.modeling.guides.processing_deepcpf1 import UNKNOWN_BASE, DeepCpf1Processor
from seqformers.pictures import check_picture, save_picture
from seqformers.tables import TableWriter

__all__ = ["EFFECT_COLUMNS", "explain_guides", "filter_counts", "letter_effects", "plot_effects"]

EFFECT_COLUMNS: dict[str, Any] = {"position": int, "part": str, "place": int, "letter": str, "effect": float}
_BASES = "ACGT"
_COLOURS = {"A": "#2e8b57", "C": "#1f6f8b", "G": "#d9902f", "T": "#c8553d"}
_MADE_UP = 2000
_MOST = 20_000
_SHOWN = 12


def explain_guides(
    output: str | Path,
    source: str | Path | None = None,
    *,
    model: Any = "fast",
    pam: str = "TTTV",
    picture: str | Path | None = None,
    device: str | None = None,
    overwrite: bool = False,
) -> int:
    """Write the effect of every letter at every place of a context, and draw it with the filters' motifs.

    Args:
        output (`str` or `Path`): Table of [`EFFECT_COLUMNS`], 136 rows; effects in percent of indels. `part` is
            upstream, pam, protospacer or downstream, `place` counts from 1 in it.
        source (`str` or `Path`, *optional*): FASTA whose guides are the contexts (20,000 of them at most, drawn at
            random); by default 2,000 made-up ones.
        model (`str`, `Path` or `DeepCpf1Model`, defaults to `"fast"`): Folder, Hub id or model.
        pam (`str`): PAMs of the contexts.
        picture (`str` or `Path`, *optional*): `.png`, `.svg` or `.pdf`.
        device (`str`, *optional*): Torch device.
        overwrite (`bool`): Replace existing outputs.

    Returns:
        `int`: contexts looked at.

    Raises:
        FileNotFoundError: there is no such FASTA file.
        ValueError: it holds no whole context, or the model is of another kind.
        FileExistsError: an output is there.
    """
    if picture is not None:
        check_picture(picture)
    scorer = GuideScorer(model, device=device)
    codes = _contexts(source, Pam(pam))
    inputs = [] if source is None else [source]
    settings = {"input": source and fingerprint(source), "model": scorer.fingerprint, "pam": Pam(pam).pattern}
    options: dict[str, Any] = {"inputs": inputs, "settings": settings, "overwrite": overwrite}
    effects = letter_effects(scorer, codes)
    with TableWriter(output, EFFECT_COLUMNS, job="explain-guides", **options) as table:
        table.write(_rows(effects))
    if picture is not None:
        with Output(picture, "explain-guides picture", **options) as drawing:
            motifs = filter_counts(scorer, codes)
            save_picture(plot_effects(effects, motifs), drawing.start(), dpi=150, kind=drawing.path.suffix[1:])
            drawing.finish()
    return len(codes)


def letter_effects(scorer: GuideScorer, codes: np.ndarray) -> np.ndarray:
    """Mean change of the score by each letter at each place, `(34, 4)`, the four letters of a place summing to 0."""
    means = np.empty((CONTEXT, len(_BASES)))
    for place in range(CONTEXT):
        for base in range(len(_BASES)):
            changed = codes.copy()
            changed[:, place] = base
            means[place, base] = scorer.score(changed)[0].mean(dtype=np.float64)
    return means - means.mean(1, keepdims=True)


def filter_counts(scorer: GuideScorer, codes: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Filter and letters of the windows that excite it, `(kernel_size, 4)`, of filters that any window excites.

    The filters come in the order of how much their activation varies, the most first. A model without a convolution
    has none.
    """
    convolution = scorer.model.convolution
    if convolution is None:
        return []
    width = convolution.kernel_size[0]
    bases = torch.arange(len(_BASES), device=scorer.device)
    one_hot = (torch.from_numpy(codes).to(scorer.device).long().unsqueeze(-1) == bases).float()
    with torch.inference_mode():
        found = torch.relu(convolution(one_hot.transpose(1, 2))).cpu().numpy()  # (contexts, filters, places)
    windows = np.lib.stride_tricks.sliding_window_view(codes, width, 1)  # (contexts, places, width)
    counts = []
    for index in np.argsort(-found.std((0, 2)), kind="stable").tolist():
        strong = found[:, index]
        if strong.max() > 0:
            letters = windows[strong > strong.max() / 2]
            counts.append((index, np.stack([(letters == base).sum(0) for base in range(len(_BASES))], 1)))
    return counts


def plot_effects(effects: np.ndarray, motifs: list[tuple[int, np.ndarray]]) -> Figure:
    """A map of [`letter_effects`], and below it the logos of the first filters, letters as high as their share."""
    logos = -(-min(len(motifs), _SHOWN) // 4)
    figure = Figure(figsize=(11, 2.6 + 1.1 * logos), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[2.6, max(1.1 * logos, 0.01)])
    above, below = parts
    axis, most = above.subplots(), float(np.abs(effects).max()) or 1.0
    image = axis.imshow(effects.T, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
    above.colorbar(image, ax=axis, label="indels, %")
    axis.set_yticks(range(len(_BASES)), list(_BASES))
    edges = (UPSTREAM, UPSTREAM + PAM_LENGTH, UPSTREAM + PAM_LENGTH + PROTOSPACER)
    for edge in edges:
        axis.axvline(edge - 0.5, c="0.2", lw=1)
    axis.set_xticks(range(CONTEXT), [str(place) for _, place in map(_part, range(CONTEXT))], fontsize=7)
    axis.set_xlabel("upstream | PAM | protospacer, from the PAM | downstream")
    axis.set_title("effect of a letter on the prediction", loc="left", fontsize=9)
    if logos:
        axes = below.subplots(logos, 4, squeeze=False).ravel()
        for panel, (index, counts) in zip(axes, motifs, strict=False):
            _draw_logo(panel, counts)
            panel.set_title(f"filter {index}", fontsize=7)
        for panel in axes:
            panel.axis("off")
    return figure


def _draw_logo(axis: Any, counts: np.ndarray) -> None:
    """Letters on each other, each as high as its share of the information of its column, in bits."""
    shares = (counts + 0.2) / (counts + 0.2).sum(1, keepdims=True)
    heights = shares * (2 + (shares * np.log2(shares)).sum(1, keepdims=True))
    for place, column in enumerate(heights):
        bottom = 0.0
        for base in np.argsort(column).tolist():
            path = TextPath((0, 0), _BASES[base], size=1)
            box = path.get_extents()
            scale = Affine2D().translate(-box.x0, -box.y0).scale(0.95 / box.width, column[base] / box.height)
            moved = scale.translate(place, bottom)
            axis.add_patch(PathPatch(path.transformed(moved), color=_COLOURS[_BASES[base]], lw=0))
            bottom += column[base]
    axis.set_xlim(0, len(heights))
    axis.set_ylim(0, 2)


def _contexts(source: str | Path | None, pam: Pam) -> np.ndarray:
    """`(n, 34)` codes of known letters."""
    rng = np.random.default_rng(0)
    if source is None:
        letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, (400 * _MADE_UP, CONTEXT))]
        fits = pam.fits(letters[:, UPSTREAM : UPSTREAM + PAM_LENGTH])
        return DeepCpf1Processor.encode_letters(letters[fits][:_MADE_UP])
    check_source(source, "FASTA file")
    parts = [np.empty((0, CONTEXT), np.uint8)]
    for record in read_fasta(source, molecule="dna"):
        codes = DeepCpf1Processor.encode_letters(find_sites(record.sequence, pam).contexts())
        parts.append(codes[(codes != UNKNOWN_BASE).all(1)])
    codes = np.concatenate(parts)
    if not len(codes):
        raise ValueError(f"{source} holds no {pam.pattern} with 4 letters before and 26 behind it on either strand")
    return codes if len(codes) <= _MOST else codes[np.sort(rng.choice(len(codes), _MOST, replace=False))]


def _rows(effects: np.ndarray) -> list[dict[str, Any]]:
    rows = []
    for position, values in enumerate(effects.round(4).tolist()):
        part, place = _part(position)
        rows += [
            {"position": position, "part": part, "place": place, "letter": letter, "effect": value}
            for letter, value in zip(_BASES, values, strict=True)
        ]
    return rows


def _part(position: int) -> tuple[str, int]:
    """Part of the context, and place in it from 1 on."""
    for name, size in (("upstream", UPSTREAM), ("pam", PAM_LENGTH), ("protospacer", PROTOSPACER)):
        if position < size:
            return name, position + 1
        position -= size
    return "downstream", position + 1
