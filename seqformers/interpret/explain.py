"""The `explain` job: sequences in, tables and pictures of what the model made of them out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from seqformers.datasets_scripts.common.remarks import OnError, Remarks
from seqformers.files import Output, did_you_mean, fingerprint, safe_name
from seqformers.hub.load import Loaded, load_model, model_folder, read_config
from seqformers.inference.engine import known_spans
from seqformers.inference.records import describe_work, read_sequences, settle_precision
from seqformers.inference.scores import Scorer
from seqformers.inference.windowing import Span, Windowing, check_count
from seqformers.interpret.attention import attention_of_spans
from seqformers.interpret.filters import write_filters
from seqformers.interpret.gradients import gradients_of_spans, has_gradients
from seqformers.interpret.motifs import count_matrix, discover_motifs, level
from seqformers.interpret.mutagenesis import saturation_mutagenesis, variant_effects
from seqformers.interpret.output import ResumedTable
from seqformers.interpret.plots import plot_logo, plot_mutations, plot_profile
from seqformers.interpret.protein_maps import PROTEIN_METHODS, write_protein_maps
from seqformers.interpret.site_filters import write_site_filters
from seqformers.interpret.variants import write_variants
from seqformers.interpret.word_attention import write_word_attention
from seqformers.pictures import save_picture

__all__ = ["METHODS", "explain"]

METHODS = ("attention", "mutations", "gradients", "motifs")
_ALONE = (*PROTEIN_METHODS, "filters", "variants", "words")
_NUCLEOTIDES, _RESIDUES = "ATGC", "ACDEFGHIKLMNPQRSTVWY"
_WINDOWS_OF_ATTENTION = 4  # at a time: attentions of all layers take much memory
_DECIMALS = 6  # of everything but scores, which have the digits that hold everywhere
_BASE = {"id": str, "position": int, "letter": str}
_SCHEMAS: dict[str, dict[str, type]] = {
    "attention": {**_BASE, "attention": float},
    "gradients": {**_BASE, "attribution": float},
    "mutations": {
        "id": str, "position": int, "reference": str, "alternative": str, "score": float, "difference": float,
        "log_odds_ratio": float,
    },
    "scores": {"id": str, "length": int, "label": str, "score": float},
    "motifs": {
        "motif": str, "members": str, "positives": int, "negatives": int, "p_value": float, "q_value": float,
        "instances": int,
    },
}  # fmt: skip


def explain(
    run: str | Path,
    fasta: str | Path,
    output: str | Path,
    *,
    methods: Sequence[str] | None = None,
    label: str | None = None,
    layer: int = -1,
    plots: int = 20,
    known_motifs: str | Path | None = None,
    variants: str | Path | None = None,
    window: int | None = None,
    step: int | None = None,
    batch_size: int = 64,
    device: str | None = None,
    precision: str = "fp32",
    on_error: OnError = "raise",
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> Path:
    """Explain a model's view of sequences, base by base.

    Writes into `output`: `attention.tsv` and `gradients.tsv` (id, position, letter, score: one row a base),
    `mutations.tsv` (one row a single-letter change), `scores.tsv` (one row a record, the scores of `predict`),
    `motifs.tsv` and logos, and one picture a record under `plots/`. Positions are 1-based. Records are cut into the
    windows that `predict` reads; mutations are scored within theirs. Numbers are
    written with 6 decimals and depend on neither batch size, threads nor a resume; mutations agree
    with double precision within 1e-5, all else is computed in it.

    Args:
        run (`str` or `Path`): Run folder or Hub repository.
        fasta (`str` or `Path`): Sequences, FASTA or FASTQ, plain or compressed; for the filters of a TargetNet a
            table of pairs, columns `mirna` and `target`.
        output (`str` or `Path`): Folder to write.
        methods (`Sequence[str]`, *optional*): Of `METHODS`. Default: attention where the model has any, and mutations
            where it scores sequences. `motifs` compares the records the model takes for `label` with those it does
            not, by attention or, without any, by gradients (by mutations where a model counts words and has no
            gradients); `filters`, alone, shows what the filters of a
            convolutional network look for; `variants`, alone, scores the substitutions of a VCF file; `words`,
            alone, compares the attention that words (k-mers) receive with their tf-idf, shows which heads let words
            with CG attend to each other, and draws a map of the vectors of words;
            `alignment` or `contacts`, alone, draw maps of proteins.
        label (`str`, *optional*): Whose score is explained, by name or number. Default: the positive class of two,
            the best one of several.
        layer (`int`, defaults to -1): Layer whose attention is shown.
        plots (`int`, defaults to 20): Pictures for so many records, in file order; logos of so many filters.
        known_motifs (`str` or `Path`, *optional*): MEME file of motifs to match the filters with.
        variants (`str` or `Path`, *optional*): VCF file for the method `variants`; `fasta` is then the genome.
        window (`int`, *optional*): Bases (or residues) a window; default what the model was trained on.
        step (`int`, *optional*): Between window starts, at most `window`; default `window`.
        batch_size (`int`, defaults to 64): Sequences scored at a time; does not change the answer.
        device (`str`, *optional*): `cpu`, `cuda`, ...; a GPU when there is one.
        precision (`str`): Of the mutations: `"fp32"`; `"bf16"`, faster where the hardware has it and coarser;
            `"auto"`: bf16 where the hardware has it.
        on_error (`str`): `"skip"` leaves out records that cannot be read or have no known token, and counts them.
        overwrite (`bool`): Replace `output`, if it is an earlier explanation, once the new one is whole.
        resume (`bool`): Go on with an interrupted job of the same model, input and options.
        progress (`bool`): Show a progress bar on stderr.

    Returns:
        `Path`: `output`.

    Raises:
        FileNotFoundError: no such input or model.
        FileExistsError: `output` is there and neither `overwrite` nor `resume` was given, or it is no earlier
            explanation.
        ValueError: a method or label is unknown, an option out of range, the model cannot do it, or a record has no
            token.
        OSError: another process is writing `output`.
    """
    windowing = Windowing(window, step)
    check_count("batch_size", batch_size)
    check_count("plots", plots, least=0)
    chosen = _known_methods(methods)
    alone = next(iter(chosen)) if chosen is not None and chosen & set(_ALONE) else None
    if known_motifs is not None and alone != "filters":
        raise ValueError("known motifs are matched with filters; give --method filters, or leave --known-motifs out")
    if precision == "int8":
        raise ValueError("int8 is too coarse for single changes; explain with fp32 or bf16")
    folder = model_folder(run)
    if (variants is not None) != (alone == "variants"):
        raise ValueError("give --method variants and --variants CALLS.vcf together; the FASTA file is then the genome")
    beside = {
        name: path for name, path in (("known_motifs", known_motifs), ("variants", variants)) if path is not None
    }
    settings = describe_work(
        folder, fasta, resume=resume, methods=sorted(chosen or ()), label=label, layer=layer, plots=plots,
        window=window, step=step, on_error=on_error, **settle_precision(precision, device),
        **{name: fingerprint(path) for name, path in beside.items()},
    )  # fmt: skip
    remarks = Remarks(on_error)
    place = Output(
        output,
        "explain",
        inputs=[folder, fasta, *beside.values()],
        settings=settings,
        folder=True,
        overwrite=overwrite,
        resume=resume,
    )
    with place:
        if place.finished:
            return place.path
        if alone == "filters" and read_config(folder)["model_type"] == "targetnet":
            pairs_of = load_model(run, None, family="targetnet", device=device)
            write_site_filters(pairs_of, fasta, place, plots=plots, remarks=remarks)
            place.finish()
            remarks.warn(str(fasta))
            return place.path
        loaded = load_model(run, None, device=device, precision=precision)
        if alone == "filters":
            write_filters(
                loaded, fasta, place, windowing, known=known_motifs, plots=plots, batch_size=batch_size,
                remarks=remarks, progress=progress,
            )  # fmt: skip
        elif alone == "variants":
            assert variants is not None
            write_variants(
                loaded, fasta, variants, place, windowing, label=label, batch_size=batch_size, remarks=remarks,
                progress=progress,
            )  # fmt: skip
        elif alone == "words":
            write_word_attention(
                loaded, fasta, place, windowing, layer=layer, batch_size=min(batch_size, _WINDOWS_OF_ATTENTION),
                remarks=remarks, progress=progress,
            )  # fmt: skip
        elif alone is not None:
            write_protein_maps(loaded, fasta, place, alone, plots=plots, remarks=remarks, progress=progress)
        else:
            methods_here = _possible_methods(chosen, loaded)
            job = _Job(
                loaded, windowing, place, methods_here, label=label, layer=layer, plots=plots, batch_size=batch_size
            )
            job.run(fasta, remarks, progress=progress)
        place.finish()
    remarks.warn(str(fasta))
    return place.path


class _Job:
    """One run of `explain`: what has been seen so far and the open tables."""

    def __init__(
        self,
        loaded: Loaded,
        windowing: Windowing,
        place: Output,
        methods: set[str],
        *,
        label: str | None,
        layer: int,
        plots: int,
        batch_size: int,
    ):
        self.loaded, self.place, self.methods = loaded, place, methods
        self.label, self.layer, self.plots = label, layer, plots
        if not hasattr(loaded.config, "max_position_embeddings") and not _scores(loaded):
            raise ValueError(
                f"{loaded.name} is a {loaded.config.model_type} model; explaining needs one that scores sequences or "
                "attends to them"
            )
        self.windowing = windowing.for_model(loaded)
        self.letters = _NUCLEOTIDES if loaded.reading.is_nucleic else _RESIDUES
        self.scorer = None
        if _scores(loaded):
            self.scorer = Scorer(loaded, batch_size=batch_size)
            if label is not None:
                self.scorer.column(label, np.zeros(len(self.scorer.labels)))  # a wrong name ends the job here
        # what motifs are looked for in
        self.profile = "attention" if _attends(loaded) else "gradients" if has_gradients(loaded) else "mutations"
        self.tables: dict[str, ResumedTable] = {}
        self.seen: list[tuple[str, np.ndarray, bool]] = []

    def run(self, fasta: str | Path, remarks: Remarks, *, progress: bool) -> None:
        """Explain every record of a file; an input that cannot be read ends the job before it begins."""
        records = self._usable(fasta, remarks, progress=progress)
        first = list(islice(records, 1))
        partial = self.place.start()
        with ExitStack() as stack:
            for name in self._table_names():
                self.tables[name] = stack.enter_context(ResumedTable(partial / f"{name}.tsv", _SCHEMAS[name]))
            for number, (name, letters, spans) in enumerate(chain(first, records)):
                self.add(number, name, letters, spans)
        if "motifs" in self.methods:
            self.write_motifs(partial)

    def _table_names(self) -> list[str]:
        names: list[str] = [name for name in ("attention", "gradients", "mutations") if name in self.methods]
        return names if self.scorer is None else [*names, "scores"]

    def _usable(self, fasta: str | Path, remarks: Remarks, *, progress: bool) -> Iterator[tuple[str, str, list[Span]]]:
        """Id, letters and windows of the records that have a token."""
        shortest = self.loaded.reading.letters_per_token
        for record in read_sequences(fasta, self.loaded.reading, remarks, progress=progress):
            spans = known_spans(record.sequence, self.windowing, self.loaded)
            if spans:
                yield record.id, record.sequence, spans
                continue
            short = len(record.sequence) < shortest
            why = f"has {len(record.sequence)} letters; a token needs {shortest}" if short else "holds no known token"
            remarks.problem("records left out", f"{fasta}: record {record.id!r} {why}")

    def add(self, number: int, name: str, letters: str, spans: list[Span]) -> None:
        """Do every method for one record; what an interrupted run has written is not computed again."""
        draw, motifs = number < self.plots, "motifs" in self.methods
        changes = _changes(letters, self.letters)
        rows = {"attention": len(letters), "gradients": len(letters), "mutations": len(changes), "scores": 1}
        due = {key: draw or table.is_due(rows[key]) for key, table in self.tables.items()}
        panels: dict[str, np.ndarray] = {}
        made: dict[str, list[dict[str, Any]]] = {}
        mutated = None
        if due.get("attention") or (motifs and self.profile == "attention"):
            panels["attention"] = attention_of_spans(self.loaded, spans, len(letters), layer=self.layer)
            made["attention"] = _base_rows(name, letters, "attention", panels["attention"])
        if self.scorer is not None and (motifs or any(due.values())):
            scores = self.scorer([span.letters for span in spans]).mean(0)
            column = self.scorer.column(self.label, scores)
            score = self.scorer.round(float(scores[column]))
            shown = {"id": name, "length": len(letters), "label": self.scorer.labels[column], "score": score}
            made["scores"] = [shown]
            if due.get("gradients") or (motifs and self.profile == "gradients"):
                panels["gradients"] = gradients_of_spans(self.loaded, spans, len(letters), column)
                made["gradients"] = _base_rows(name, letters, "attribution", panels["gradients"])
            if due.get("mutations") or (motifs and self.profile == "mutations"):
                mutated = self._mutate(letters, spans, column)
                made["mutations"] = self._mutation_rows(name, letters, changes, *mutated)
                if motifs and self.profile == "mutations":
                    panels["mutations"] = self._mean_loss(letters, *mutated)
            if motifs:
                seen = level(panels[self.profile])
                self.seen.append((letters.upper(), seen, self.scorer.best(scores) == column))
        for key, table in self.tables.items():
            table.put(rows[key], made.get(key, []))
        if draw:
            self._draw(number, name, letters, panels, mutated)

    def _mutate(self, letters: str, spans: list[Span], column: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores `(bases, letters)` of each change, and of the unchanged window `(bases,)`; NaN outside windows."""
        scorer = self.scorer
        assert scorer is not None
        scores = np.full((len(letters), len(self.letters)), np.nan)
        original = np.full(len(letters), np.nan)
        for span in reversed(spans):  # where windows overlap, the earlier one decides
            part = slice(span.start, span.start + len(span.letters))
            original[part], scores[part] = saturation_mutagenesis(
                lambda batch: scorer.quick(batch)[:, column], span.letters, letters=self.letters
            )
        return scores, original

    def _mean_loss(self, letters: str, scores: np.ndarray, original: np.ndarray) -> np.ndarray:
        """What changing each base takes from the score, `(bases,)`: the mean over its changes, in log-odds."""
        assert self.scorer is not None
        plain = self.scorer.is_probability
        difference, odds = variant_effects(original[:, None], scores, probability=plain)
        changed = np.array([[letter != base for letter in self.letters] for base in letters.upper()])
        return np.where(changed, odds if plain else -difference, 0).sum(1) / changed.sum(1)

    def _mutation_rows(
        self, name: str, letters: str, changes: np.ndarray, scores: np.ndarray, original: np.ndarray
    ) -> list[dict[str, Any]]:
        assert self.scorer is not None
        difference, odds = variant_effects(original[:, None], scores, probability=self.scorer.is_probability)
        return [
            {
                "id": name,
                "position": int(place) + 1,
                "reference": letters[place],
                "alternative": self.letters[letter],
                "score": _number(scores[place, letter]),
                "difference": _number(difference[place, letter]),
                "log_odds_ratio": _number(odds[place, letter]),
            }
            for place, letter in changes
        ]

    def _draw(self, number: int, name: str, letters: str, panels: dict[str, np.ndarray], mutated: Any) -> None:
        stem = f"{number + 1:04d}_{safe_name(name, longest=60)}"
        folder = self.place.partial / "plots"
        folder.mkdir(exist_ok=True)
        if panels:
            save_picture(plot_profile(letters, panels, title=name), folder / f"{stem}.png")
        if mutated is not None:
            scores, original = mutated
            change = np.nan_to_num(scores - original[:, None])
            figure = plot_mutations(letters, change, 0.0, letters=self.letters, title=f"{name}: single changes")
            save_picture(figure, folder / f"{stem}_mutations.png")

    def write_motifs(self, partial: Path) -> None:
        """Motifs need all records, so they come last."""
        positive = [flag for _, _, flag in self.seen]
        if all(positive) or not any(positive):
            side = "every" if all(positive) else "no"
            raise ValueError(
                f"motifs compare two classes, but the model gives {side} record the label explained; "
                "add sequences of the other kind, or choose another --label"
            )
        motifs = discover_motifs([item[0] for item in self.seen], [item[1] for item in self.seen], positive)
        (partial / "motifs.tsv").unlink(missing_ok=True)
        (partial / "plots").mkdir(exist_ok=True)
        letters = "ACGT" if self.loaded.reading.is_nucleic else _RESIDUES
        with ResumedTable(partial / "motifs.tsv", _SCHEMAS["motifs"]) as table:
            for number, motif in enumerate(motifs, 1):
                values = (motif.sequence, ",".join(motif.members), motif.positives, motif.negatives)
                evidence = (motif.p_value, motif.q_value, len(motif.windows))
                table.put(1, [dict(zip(_SCHEMAS["motifs"], values + evidence, strict=True))])
                logo = plot_logo(count_matrix(motif.windows, letters), letters=letters, title=motif.sequence)
                save_picture(logo, partial / "plots" / f"motif_{number:02d}_{motif.sequence[:30]}.png")


def _known_methods(methods: Sequence[str] | None) -> set[str] | None:
    if not methods:
        return None
    known = (*METHODS, *_ALONE)
    unknown = set(methods) - set(known)
    if unknown:
        raise ValueError(
            f"unknown method {', '.join(sorted(unknown))}; {did_you_mean(min(unknown), known)}"
            f"choose from {', '.join(known)}"
        )
    if set(methods) & set(_ALONE) and len(set(methods)) > 1:
        raise ValueError(f"{' and '.join(_ALONE)} are made alone, one at a time")
    return set(methods)


def _possible_methods(chosen: set[str] | None, loaded: Loaded) -> set[str]:
    if chosen is None:
        return ({"attention"} if _attends(loaded) else set()) | ({"mutations"} if _scores(loaded) else set())
    if "attention" in chosen and not _attends(loaded):
        raise ValueError(
            f"{type(loaded.model).__name__} has no attention to show; choose from mutations, gradients and motifs"
        )
    if "gradients" in chosen and _scores(loaded) and not has_gradients(loaded):
        raise ValueError(
            f"{type(loaded.model).__name__} takes no embeddings in place of ids, so it has no gradients; choose from "
            "mutations and motifs"
        )
    if not _scores(loaded) and chosen - {"attention"}:
        raise ValueError(
            f"{type(loaded.model).__name__} scores no sequences, so only attention can be shown; fine-tune a "
            "classifier first"
        )
    return chosen


def _attends(loaded: Loaded) -> bool:
    """Whether [CLS] looks at the sequence; the first token of a causal model sees nothing but itself."""
    kind = loaded.config.model_type
    causal = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return hasattr(loaded.config, "num_attention_heads") and not causal


def _scores(loaded: Loaded) -> bool:
    return type(loaded.model).__name__.endswith("ForSequenceClassification")


def _changes(letters: str, alphabet: str) -> np.ndarray:
    """Place and new letter of every single change, shape `(changes, 2)`."""
    present = np.frombuffer(letters.upper().encode("ascii", "replace"), np.uint8)[:, None]
    return np.argwhere(present != np.frombuffer(alphabet.encode(), np.uint8)[None])


def _base_rows(name: str, letters: str, column: str, values: np.ndarray) -> list[dict[str, Any]]:
    return [
        {"id": name, "position": place, "letter": letter, column: _number(value)}
        for place, (letter, value) in enumerate(zip(letters, values.tolist(), strict=True), 1)
    ]


def _number(value: float) -> float | None:
    """A number with the decimals that hold; none where there is none. Adding zero makes -0.0 plain."""
    return None if np.isnan(value) else round(float(value), _DECIMALS) + 0.0
