"""The `explain` job: sequences in, tables and pictures of what the model made of them out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqformers.hub.load import load_model
from seqformers.interpret.attention import attention_profiles
from seqformers.interpret.gradients import gradient_profile
from seqformers.interpret.motifs import count_matrix, discover_motifs
from seqformers.interpret.mutagenesis import saturation_mutagenesis, variant_effects
from seqformers.interpret.plots import plot_logo, plot_mutations, plot_profile
from seqformers.interpret.protein_maps import PROTEIN_METHODS, explain_proteins
from seqformers.interpret.scoring import SequenceScorer
from seqformers.interpret.windows import Span, token_room, windows
from seqformers.tables import TableWriter, refuse_existing

__all__ = ["METHODS", "explain"]

METHODS = ("attention", "mutations", "gradients", "motifs")
_PROTEIN = "ACDEFGHIKLMNPQRSTVWY"


def explain(
    run: str | Path,
    fasta: str | Path,
    output: str | Path,
    *,
    methods: Sequence[str] | None = None,
    label: str | None = None,
    layer: int = -1,
    plots: int = 20,
    batch_size: int = 64,
    device: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
) -> Path:
    """Explain a model's view of sequences, base by base.

    Writes into `output`: `attention.tsv` and `gradients.tsv` (id, position, letter, score: one row a base),
    `mutations.tsv` (one row a single-letter change), `scores.tsv` (one row a record), `motifs.tsv` and logos, and one
    picture a record under `plots/`. Positions are 1-based. Sequences too long for the model are read in windows;
    mutations are scored within theirs.

    Args:
        run (`str` or `Path`): Run folder or Hub repository.
        fasta (`str` or `Path`): Sequences, FASTA or FASTQ, plain or compressed.
        output (`str` or `Path`): Folder to write.
        methods (`Sequence[str]`, *optional*): Of `METHODS`. Default: attention, and mutations where the model scores
            sequences. `motifs` compares the records the model takes for `label` with those it does not; `alignment`
            or `contacts`, alone, draw maps of proteins.
        label (`str`, *optional*): Whose score is explained, by name or number. Default: the positive class of two,
            the best one of several.
        layer (`int`, defaults to -1): Layer whose attention is shown.
        plots (`int`, defaults to 20): Pictures for so many records, in file order.
        batch_size (`int`, defaults to 64): Sequences scored at a time.
        device (`str`, *optional*): `cpu`, `cuda`, ...; a GPU when there is one.
        overwrite (`bool`): Replace `output`.
        resume (`bool`): Go on with an interrupted job.

    Returns:
        `Path`: `output`.

    Raises:
        ValueError: a method or label is unknown, the model cannot do it, or a record has no token.
        FileExistsError: `output` is there and neither `overwrite` nor `resume` was given.
    """
    from rich.progress import track

    if methods and set(methods) & set(PROTEIN_METHODS):
        if len(set(methods)) > 1 or resume:
            raise ValueError(f"{' and '.join(PROTEIN_METHODS)} are made alone, one at a time, and without --resume")
        return explain_proteins(run, fasta, output, methods[0], plots=plots, device=device, overwrite=overwrite)
    loaded = load_model(run, None, device=device)
    model, tokenizer = loaded.model, loaded.encoder
    if not hasattr(loaded.config, "max_position_embeddings"):
        raise ValueError(
            f"{run} is a {loaded.config.model_type} model; explaining needs one that reads tokens by attention"
        )
    chosen = _checked_methods(methods, model)
    records = _read(fasta, tokenizer)
    output = refuse_existing(output, overwrite=overwrite, resume=resume)
    output.mkdir(parents=True, exist_ok=True)
    job = _Job(model, tokenizer, output, chosen, label=label, layer=layer, plots=plots, batch_size=batch_size)
    with job.open_tables(resume):
        for number, (name, letters) in enumerate(
            track(records, description="explaining", console=_stderr(), transient=True)
        ):
            job.add(number, name, letters)
        job.finish()
    return output


class _Job:
    """One run of `explain`: what has been seen so far and the open tables."""

    def __init__(self, model: Any, tokenizer: Any, output: Path, methods: set[str], **options: Any):
        self.model, self.tokenizer, self.output, self.methods = model, tokenizer, output, methods
        self.label, self.layer, self.plots = options["label"], options["layer"], options["plots"]
        self.letters = "ATGC" if hasattr(tokenizer, "k") else _PROTEIN
        self.scorer = None
        if type(model).__name__.endswith("ForSequenceClassification"):
            self.scorer = SequenceScorer(model, tokenizer, batch_size=options["batch_size"])
            if self.label is not None:
                self.scorer.column(self.label, np.zeros(len(self.scorer.labels)))  # a wrong name ends the job here
        self.room = token_room(model, tokenizer, chunks=getattr(model.config, "max_chunks", 1))
        self.tables: dict[str, _Table] = {}
        self.seen: list[tuple[str, np.ndarray, bool]] = []

    def open_tables(self, resume: bool) -> Any:
        """A context that finishes every table when it is left without an error."""
        from contextlib import ExitStack

        columns = {
            "attention": ["id", "position", "letter", "attention"],
            "gradients": ["id", "position", "letter", "attribution"],
            "mutations": ["id", "position", "reference", "alternative", "score", "difference", "log_odds_ratio"],
        }
        wanted = {name: columns[name] for name in columns if name in self.methods}
        if self.scorer is not None:
            wanted["scores"] = ["id", "length", "label", "score"]
        stack = ExitStack()
        for name, names in wanted.items():
            writer = stack.enter_context(TableWriter(self.output / f"{name}.tsv", names, resume=resume))
            self.tables[name] = _Table(writer)
        return stack

    def add(self, number: int, name: str, letters: str) -> None:
        """Do every method for one record."""
        spans = list(windows([letters], self.tokenizer, self.room))
        draw = number < self.plots
        panels: dict[str, np.ndarray] = {}
        if "attention" in self.methods or "motifs" in self.methods:
            profile = attention_profiles(self.model, self.tokenizer, [letters], layer=self.layer)[0]
            panels["attention"] = profile
            if "attention" in self.methods:
                self.tables["attention"].put(len(letters), lambda: _bases(name, letters, "attention", profile))
        if self.scorer is None:
            self._draw(number, name, letters, panels if draw else {}, None)
            return
        scores = self.scorer([span.letters for span in spans])
        column = self.scorer.column(self.label, scores.mean(0))
        mean = float(scores[:, column].mean())
        row = {"id": name, "length": len(letters), "label": self.scorer.labels[column], "score": mean}
        self.tables["scores"].put(1, lambda: [row])
        if "gradients" in self.methods:
            gradients = self.tables["gradients"]
            if draw or gradients.is_due(len(letters)):
                panels["gradients"] = self._gradients(spans, letters, column)
            gradients.put(len(letters), lambda: _bases(name, letters, "attribution", panels["gradients"]))
        mutated = self._mutations(name, letters, spans, column, draw) if "mutations" in self.methods else None
        if "motifs" in self.methods:
            self.seen.append((letters.upper(), panels["attention"], bool(scores.mean(0).argmax() == column)))
        self._draw(number, name, letters, panels if draw else {}, mutated if draw else None)

    def _gradients(self, spans: list[Span], letters: str, column: int) -> np.ndarray:
        assert self.scorer is not None
        whole = np.full(len(letters), np.nan)
        for span in spans:
            part = slice(span.start, span.start + len(span.letters))
            whole[part] = np.nansum([whole[part], gradient_profile(self.scorer, span.letters, column)], axis=0)
        return whole

    def _mutations(
        self, name: str, letters: str, spans: list[Span], column: int, draw: bool
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Scores `(bases, letters)` and of the unchanged window `(bases,)`; written unless an earlier run has."""
        assert self.scorer is not None
        scorer, table = self.scorer, self.tables["mutations"]
        present = np.array(list(letters.upper()))[:, None] == np.array(list(self.letters))
        count = int((~present).sum())
        if not draw and not table.is_due(count):
            table.put(count, list)
            return None
        scores = np.empty((len(letters), len(self.letters)))
        original = np.empty(len(letters))
        for span in reversed(spans):  # where windows overlap, the earlier one decides
            part = slice(span.start, span.start + len(span.letters))
            original[part], scores[part] = saturation_mutagenesis(
                lambda batch: scorer(batch)[:, column], span.letters, letters=self.letters
            )
        difference, odds = variant_effects(original[:, None], scores, probability=scorer.is_probability)
        table.put(
            count,
            lambda: [
                {
                    "id": name,
                    "position": int(place) + 1,
                    "reference": letters[place],
                    "alternative": self.letters[letter],
                    "score": float(scores[place, letter]),
                    "difference": float(difference[place, letter]),
                    "log_odds_ratio": float(odds[place, letter]) if scorer.is_probability else None,
                }
                for place, letter in np.argwhere(~present)
            ],
        )
        return scores, original

    def _draw(self, number: int, name: str, letters: str, panels: dict[str, np.ndarray], mutated: Any) -> None:
        stem = f"{number + 1:04d}_{re.sub(r'[^A-Za-z0-9._-]+', '_', name)[:60]}"
        folder = self.output / "plots"
        if panels:
            folder.mkdir(exist_ok=True)
            plot_profile(letters, panels, title=name).savefig(folder / f"{stem}.png", dpi=120)
        if mutated is not None:
            folder.mkdir(exist_ok=True)
            scores, original = mutated
            change = scores - original[:, None]
            figure = plot_mutations(letters, change, 0.0, letters=self.letters, title=f"{name}: single changes")
            figure.savefig(folder / f"{stem}_mutations.png", dpi=120)

    def finish(self) -> None:
        """Motifs need all records, so they come last."""
        if "motifs" not in self.methods:
            return
        positive = [flag for _, _, flag in self.seen]
        if all(positive) or not any(positive):
            side = "every" if all(positive) else "no"
            raise ValueError(
                f"motifs compare two classes, but the model gives {side} record the label explained; "
                "add sequences of the other kind, or choose another --label"
            )
        motifs = discover_motifs([item[0] for item in self.seen], [item[1] for item in self.seen], positive)
        (self.output / "motifs.tsv").unlink(missing_ok=True)
        names = ["motif", "members", "positives", "negatives", "p_value", "q_value", "instances"]
        with TableWriter(self.output / "motifs.tsv", names, overwrite=True) as table:
            for number, motif in enumerate(motifs, 1):
                values = (motif.sequence, ",".join(motif.members), motif.positives, motif.negatives)
                evidence = (motif.p_value, motif.q_value, len(motif.windows))
                table.write([dict(zip(names, values + evidence, strict=True))])
                (self.output / "plots").mkdir(exist_ok=True)
                letters = "ACGT" if hasattr(self.tokenizer, "k") else _PROTEIN
                logo = plot_logo(count_matrix(motif.windows, letters), letters=letters, title=motif.sequence)
                logo.savefig(self.output / "plots" / f"motif_{number:02d}_{motif.sequence[:30]}.png", dpi=120)


class _Table:
    """A table that skips the rows an interrupted run has written. Rows come in the same order each time."""

    def __init__(self, writer: TableWriter):
        self.writer, self.passed = writer, 0

    def is_due(self, rows: int) -> bool:
        """Whether any of the next `rows` rows is missing."""
        return not self.writer.finished and self.passed + rows > self.writer.rows_done

    def put(self, rows: int, make: Any) -> None:
        """Write the next `rows` rows, made by `make()` only when they are needed."""
        if self.is_due(rows):
            self.writer.write(make()[max(self.writer.rows_done - self.passed, 0) :])
        self.passed += rows


def _checked_methods(methods: Sequence[str] | None, model: Any) -> set[str]:
    scores = type(model).__name__.endswith("ForSequenceClassification")
    if methods is None:
        return {"attention", "mutations"} if scores else {"attention"}
    unknown = set(methods) - set(METHODS)
    if unknown:
        raise ValueError(
            f"unknown method {', '.join(sorted(unknown))}; choose from {', '.join((*METHODS, *PROTEIN_METHODS))}"
        )
    if not scores and set(methods) - {"attention"}:
        raise ValueError(
            f"{type(model).__name__} scores no sequences, so only attention can be shown; fine-tune a classifier first"
        )
    return set(methods)


def _read(fasta: str | Path, tokenizer: Any) -> list[tuple[str, str]]:
    from seqformers.datasets_scripts.common.fasta import read_fasta

    records = [(record.id, record.sequence) for record in read_fasta(fasta)]
    shortest = getattr(tokenizer, "k", 1)
    for name, letters in records:
        if len(letters) < shortest:
            raise ValueError(f"{fasta}: record {name!r} has {len(letters)} letters; a token needs {shortest}")
        if not letters.isascii():
            raise ValueError(f"{fasta}: record {name!r} holds letters that are not ASCII")
    return records


def _bases(name: str, letters: str, column: str, values: np.ndarray) -> list[dict[str, Any]]:
    return list(_base_rows(name, letters, column, values))


def _base_rows(name: str, letters: str, column: str, values: np.ndarray) -> Iterator[dict[str, Any]]:
    for place, (letter, value) in enumerate(zip(letters, values.tolist(), strict=True), 1):
        yield {"id": name, "position": place, "letter": letter, column: None if value != value else value}


def _stderr() -> Any:
    from rich.console import Console

    return Console(stderr=True)
