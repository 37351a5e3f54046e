"""Figures of profiles, mutations and motifs. Each function returns a matplotlib `Figure` and shows nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from seqformers.pictures import COLOURS

__all__ = ["plot_heads", "plot_logo", "plot_mutations", "plot_profile", "plot_word_attention", "plot_word_map"]

_COLOURS = {"A": "#2a7f3f", "C": "#2458a8", "G": "#c88a12", "T": "#b8322a", "U": "#b8322a"}
_LETTERS_UP_TO = 200  # bases; beyond that letters on the axis cannot be read


def plot_profile(sequence: str, profiles: Mapping[str, np.ndarray], *, title: str = "") -> Figure:
    """One panel a profile over the bases of a sequence.

    Args:
        sequence (`str`): Letters.
        profiles (`Mapping[str, np.ndarray]`): Label of the axis -> `(len(sequence),)` numbers.
        title (`str`): Heading.
    """
    figure = Figure(figsize=(_width(len(sequence)), 0.4 + 1.6 * len(profiles)), layout="constrained")
    axes = figure.subplots(len(profiles), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (label, values) in zip(axes, profiles.items(), strict=True):
        axis.bar(np.arange(1, len(sequence) + 1), values, width=1.0, color="#38618c", linewidth=0)
        axis.set_ylabel(label)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.01)
    _letters_below(axes[-1], sequence)
    axes[0].set_title(title, fontsize=10)
    return figure


def plot_mutations(sequence: str, scores: np.ndarray, original: float, *, letters: str, title: str = "") -> Figure:
    """Map of what each change does to the score: rows are new letters, blue lowers the score, red raises it.

    Args:
        sequence (`str`): Letters.
        scores (`np.ndarray` of shape `(len(sequence), len(letters))`): From `saturation_mutagenesis`.
        original (`float`): Score of the sequence itself.
        letters (`str`): The columns of `scores`.
        title (`str`): Heading.
    """
    change = (scores - original).T
    limit = max(float(np.abs(change).max()), 1e-9)
    figure = Figure(figsize=(_width(len(sequence)), 0.9 + 0.22 * len(letters)), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(
        change,
        aspect="auto",
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
        extent=(0.5, len(sequence) + 0.5, len(letters) - 0.5, -0.5),
    )
    axis.set_yticks(range(len(letters)), list(letters))
    figure.colorbar(image, ax=axis, label="change of score", pad=0.01)
    _letters_below(axis, sequence)
    axis.set_title(title, fontsize=10)
    return figure


def plot_logo(counts: np.ndarray, *, letters: str = "ACGT", title: str = "") -> Figure:
    """Sequence logo in bits from `count_matrix`.

    Raises:
        ValueError: logomaker is not installed (`pip install seqformers[interpret]`).
    """
    try:
        import logomaker
    except ImportError as error:
        raise ValueError("logos need logomaker: pip install 'seqformers[interpret]'") from error
    table = pd.DataFrame(counts, columns=list(letters), dtype=float)
    bits = logomaker.transform_matrix(table, from_type="counts", to_type="information")
    figure = Figure(figsize=(0.5 + 0.3 * len(counts), 1.9), layout="constrained")
    axis = figure.subplots()
    logomaker.Logo(bits, ax=axis, color_scheme={letter: _COLOURS.get(letter, "#444444") for letter in letters})
    axis.set_ylabel("bits")
    axis.set_ylim(0, np.log2(len(letters)))
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(title, fontsize=9)
    return figure


def plot_word_attention(words: pd.DataFrame, *, title: str = "") -> Figure:
    """Words in order of their tf-idf, and the attention they receive, coloured by length; 1 is an even spread.

    Args:
        words (`pd.DataFrame`): `word`, `letters`, `attention`; a point a row.
        title (`str`): Heading.
    """
    figure = Figure(figsize=(float(np.clip(0.16 * len(words), 5.0, 18.0)), 3.2), layout="constrained")
    axis = figure.subplots()
    colours = _colours_of(words["letters"])
    axis.scatter(range(len(words)), words["attention"], c=[colours[size] for size in words["letters"]], s=18)
    axis.axhline(1.0, color="#444444", linewidth=0.8, linestyle=":")
    axis.set_xticks(range(len(words)), words["word"], rotation=90, fontsize=6, family="monospace")
    axis.set_ylabel("attention received")
    _legend(axis, colours)
    axis.margins(x=0.01)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(title, fontsize=10)
    return figure


def plot_heads(heads: pd.DataFrame, column: str, *, title: str = "") -> Figure:
    """A number of every head as a map of layers and heads; 1 is white.

    Args:
        heads (`pd.DataFrame`): `layer`, `head` and `column`.
        column (`str`): Which number.
        title (`str`): Heading.
    """
    table = heads.pivot(index="layer", columns="head", values=column)
    figure = Figure(figsize=(2.0 + 0.4 * table.shape[1], 1.2 + 0.35 * len(table)), layout="constrained")
    axis = figure.subplots()
    limit = max(float(np.nanmax(np.abs(np.log2(np.maximum(table.to_numpy(), 1e-3))))), 0.1)
    image = axis.imshow(np.log2(np.maximum(table, 1e-3)), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axis.set_xticks(range(table.shape[1]), table.columns)
    axis.set_yticks(range(len(table)), table.index)
    axis.set_xlabel("head")
    axis.set_ylabel("layer")
    figure.colorbar(image, ax=axis, label="log2 over an even spread", pad=0.02)
    axis.set_title(title, fontsize=10)
    return figure


def plot_word_map(places: pd.DataFrame, *, title: str = "") -> Figure:
    """Words in the plane, coloured by length.

    Args:
        places (`pd.DataFrame`): `letters`, `x`, `y`; a point a row.
        title (`str`): Heading.
    """
    figure = Figure(figsize=(5.6, 5.0), layout="constrained")
    axis = figure.subplots()
    colours = _colours_of(places["letters"])
    for size, colour in colours.items():
        part = places[places["letters"] == size]
        axis.scatter(part["x"], part["y"], s=5, color=colour, linewidths=0)
    _legend(axis, colours)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_title(title, fontsize=10)
    return figure


def _colours_of(sizes: pd.Series[int]) -> dict[int, str]:
    return dict(zip(sorted(sizes.unique().tolist()), COLOURS * 3, strict=False))


def _legend(axis: Any, colours: Mapping[int, str]) -> None:
    """What each colour is: a word's letters."""
    if len(colours) > 1:
        marks = [Line2D([], [], marker="o", linestyle="", color=colour) for colour in colours.values()]
        labels = [f"{size} letters" for size in colours]
        axis.legend(marks, labels, fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _width(length: int) -> float:
    """Inches for so many bases."""
    return float(np.clip(0.11 * length, 5.0, 22.0))


def _letters_below(axis: Any, sequence: str) -> None:
    """Letters along the x axis while they can be read, positions (1-based) otherwise."""
    if len(sequence) > _LETTERS_UP_TO:
        axis.set_xlabel("position")
        return
    axis.set_xticks(range(1, len(sequence) + 1), list(sequence), fontsize=6, family="monospace")
    axis.tick_params(axis="x", length=0)
    for label, letter in zip(axis.get_xticklabels(), sequence, strict=True):
        label.set_color(_COLOURS.get(letter.upper(), "#444444"))
