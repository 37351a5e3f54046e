"""What a model makes of the substitutions of a VCF file: likelihood ratios of language models, or changes of a score.

Masked language models: all tokens that hold a changed letter are masked at once, so what remains is the same for both
alleles, and one pass gives both. The score is log P(alternative) - log P(reference), the mean over the masked tokens:
the overlapping k-mers that hold a letter each say how much likelier it is, other letters being equal. Causal models:
the difference of the log-likelihoods of the window with either allele (natural logarithms). Both strands are read and
the two scores averaged. Pseudo-log-likelihoods: Salazar et al. 2020; of variants: Meier et al. 2021, Benegas et al.
2023.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.vcf import Variant, check_contigs, check_reference, read_vcf
from seqformers.files import Output
from seqformers.hub.load import Loaded
from seqformers.inference.embed import residue_mask
from seqformers.inference.records import read_sequences
from seqformers.inference.scores import Scorer
from seqformers.inference.windowing import Windowing, reverse_complement
from seqformers.interpret.output import ResumedTable

__all__ = ["log_ratios", "write_variants"]

_SCHEMA: dict[str, type] = {
    "contig": str, "position": int, "id": str, "reference": str, "alternative": str, "score": float, "forward": float,
    "reverse": float,
}  # fmt: skip
_DECIMALS = 6
_AT_ONCE = 256  # variants
_NUMBERS_AT_ONCE = 2**25  # logits in memory: a quarter of a gigabyte in double precision

Ratios = Callable[[Sequence[str], Sequence[str]], np.ndarray]


def write_variants(
    loaded: Loaded,
    fasta: str | Path,
    vcf: str | Path,
    place: Output,
    windowing: Windowing,
    *,
    label: str | None,
    batch_size: int,
    remarks: Remarks,
    progress: bool,
) -> None:
    """Write `variants.tsv`: one row a substitution, in the order of the VCF file.

    Columns: contig, position (1-based), id, reference, alternative, score (mean of both strands), forward, reverse.
    The score is negative where the model finds the alternative less likely than the reference, or, of a classifier,
    where it lowers the score of `label`; empty where no token tells the two apart.

    Args:
        loaded (`Loaded`): A masked or causal language model, or a classifier, of DNA.
        fasta (`str` or `Path`): The genome; the sequences that the variants lie on are held in memory.
        vcf (`str` or `Path`): The variants.
        place (`Output`): Folder to write.
        windowing (`Windowing`): Its window stands around each variant.
        label (`str`, *optional*): Of a classifier: whose score.
        batch_size (`int`): Windows at a time.
        remarks (`Remarks`): Told of variants that cannot be scored.
        progress (`bool`): Show a progress bar on stderr.

    Raises:
        ValueError: the model scores nothing, contigs differ, a REF is not what the genome has, or nothing is left.
    """
    ratios = _ratios_of(loaded, label, batch_size)
    window = windowing.for_model(loaded).window
    assert window is not None
    wanted = {variant.contig for variant in read_vcf(vcf, Remarks("skip"))}
    genome: dict[str, str] = {}
    known = []
    for record in read_sequences(fasta, loaded.reading, remarks, progress=progress):
        known.append(record.id)
        if record.id in wanted:
            genome.setdefault(record.id, record.sequence)
    if remarks.on_error == "raise":
        check_contigs(wanted, known, vcf, fasta)
    variants = _usable(vcf, fasta, genome, window, remarks)
    first = list(islice(variants, _AT_ONCE))
    if not first:
        left = "; ".join(remarks.lines())
        raise ValueError(f"{vcf} holds no substitution that can be scored{f' ({left})' if left else ''}")
    with ResumedTable(place.start() / "variants.tsv", _SCHEMA) as table:
        while first:
            table.put(len(first), _rows(first, genome, window, ratios) if table.is_due(len(first)) else [])
            first = list(islice(variants, _AT_ONCE))


def _usable(
    vcf: str | Path, fasta: str | Path, genome: dict[str, str], window: int, remarks: Remarks
) -> Iterator[Variant]:
    for variant in read_vcf(vcf, remarks):
        if variant.contig in genome:
            wrong = check_reference(variant, genome, vcf, fasta)
        else:
            wrong = f"{vcf} line {variant.line}: {fasta} has no sequence {variant.contig!r}"
        if wrong:
            remarks.problem("variants left out", wrong)
        elif not variant.is_substitution or len(variant.reference) > window:
            what = "insertions, deletions and changes longer than a window, left out"
            remarks.note(what, f"{vcf} line {variant.line}: {variant}")
        else:
            yield variant


def _rows(variants: Sequence[Variant], genome: dict[str, str], window: int, ratios: Ratios) -> list[dict[str, Any]]:
    pairs = [_windows(variant, genome[variant.contig], window) for variant in variants]
    before, after = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    forward = ratios(before, after)
    reverse = ratios([reverse_complement(text) for text in before], [reverse_complement(text) for text in after])
    rows = []
    for variant, one, other in zip(variants, forward.tolist(), reverse.tolist(), strict=True):
        values = (variant.contig, variant.position, variant.id, variant.reference, variant.alternative)
        numbers = (_number((one + other) / 2), _number(one), _number(other))
        rows.append(dict(zip(_SCHEMA, values + numbers, strict=True)))
    return rows


def _windows(variant: Variant, letters: str, window: int) -> tuple[str, str]:
    """The window around a variant with the reference, and with the alternative; shorter where the sequence is."""
    size = len(variant.reference)
    at = variant.position - 1
    start = max(0, min(at - (window - size) // 2, len(letters) - window))
    text = letters[start : start + window].upper()
    return text, text[: at - start] + variant.alternative + text[at - start + size :]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, _DECIMALS) + 0.0


# -- the kinds of models ---------------------------------------------------------------------------------------------


def _ratios_of(loaded: Loaded, label: str | None, batch_size: int) -> Ratios:
    name = type(loaded.model).__name__
    if not loaded.reading.is_nucleic:
        raise ValueError(f"{loaded.name} reads {loaded.reading.molecule or 'no DNA'}; variants of a VCF file are DNA")
    if name.endswith("ForSequenceClassification"):
        scorer = Scorer(loaded, batch_size=batch_size)
        column = None if label is None else scorer.column(label, np.zeros(len(scorer.labels)))

        def changes(before: Sequence[str], after: Sequence[str]) -> np.ndarray:
            scores = scorer(before)
            chosen = [scorer.column(None, row) if column is None else column for row in scores]
            return (scorer(after) - scores)[np.arange(len(scores)), chosen]

        return changes
    if label is not None:
        raise ValueError(f"{name} has no labels; leave --label out")
    return lambda before, after: log_ratios(loaded, before, after, batch_size=batch_size)


def log_ratios(loaded: Loaded, before: Sequence[str], after: Sequence[str], *, batch_size: int = 64) -> np.ndarray:
    """How much likelier a language model finds one sequence than another of the same length, one number a pair.

    Args:
        loaded (`Loaded`): A masked (`...ForMaskedLM`, `...ForPreTraining`) or causal language model.
        before (`Sequence[str]`): Sequences that the model takes whole.
        after (`Sequence[str]`): The same with some letters changed.
        batch_size (`int`, defaults to 64): Pairs at a time; does not change the answer.

    Returns:
        `np.ndarray` of shape `(pairs,)`: natural logarithm of the ratio (see the text of this module), NaN where the
        tokens are the same.

    Raises:
        ValueError: no language model, or one whose tokens change in number with a letter.
    """
    name = type(loaded.model).__name__
    causal = name.endswith(("ForCausalLM", "LMHeadModel"))
    if not causal and not name.endswith(("ForMaskedLM", "ForPreTraining")):
        raise ValueError(f"{name} is no language model and no classifier of sequences; it cannot score variants")
    if not causal and loaded.encoder.mask_token_id is None:
        raise ValueError(f"the tokenizer of {loaded.name} has no mask token, which {name} needs")
    longest = max(map(len, before), default=1)
    vocabulary = max(int(loaded.config.vocab_size), 1)
    size = max(1, min(batch_size, _NUMBERS_AT_ONCE // (vocabulary * longest)))
    score = _causal if causal else _masked
    parts = [score(loaded, before[at : at + size], after[at : at + size]) for at in range(0, len(before), size)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _tokens(loaded: Loaded, texts: Sequence[str]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The model's inputs, and which tokens stand for the sequence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unknown letters are counted over the whole file
        batch = dict(loaded.encoder(list(texts), padding=True, return_tensors="pt"))
    own = residue_mask(batch, loaded.encoder)
    device = loaded.exact.device
    return {key: value.to(device) for key, value in batch.items()}, own.to(device)


def _log_shares(loaded: Loaded, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logarithms of the probabilities of all tokens at all places, `(rows, length, vocabulary)`."""
    output = loaded.exact(**inputs)
    logits = getattr(output, "logits", None)
    return (output.prediction_logits if logits is None else logits).log_softmax(-1)


@torch.inference_mode()
def _masked(loaded: Loaded, before: Sequence[str], after: Sequence[str]) -> np.ndarray:
    inputs, own = _tokens(loaded, before)
    other, _ = _tokens(loaded, after)
    ids, changed = inputs["input_ids"], other["input_ids"]
    if ids.shape != changed.shape or not torch.equal(inputs["attention_mask"], other["attention_mask"]):
        raise ValueError(
            f"the tokenizer of {loaded.name} makes another number of tokens of a sequence when a letter changes, so "
            "the two cannot be compared token by token; use a model of single bases or k-mers, or a causal one"
        )
    differs = own & (ids != changed)
    shares = _log_shares(loaded, {**inputs, "input_ids": ids.masked_fill(differs, loaded.encoder.mask_token_id)})
    ratio = shares.gather(2, changed[..., None]) - shares.gather(2, ids[..., None])
    total = (ratio[..., 0] * differs).sum(1) / differs.sum(1)  # 0 / 0 is NaN: nothing tells the two apart
    return total.double().cpu().numpy()


@torch.inference_mode()
def _causal(loaded: Loaded, before: Sequence[str], after: Sequence[str]) -> np.ndarray:
    totals, tokens = [], []
    for texts in (before, after):
        inputs, own = _tokens(loaded, texts)
        shares = _log_shares(loaded, inputs)[:, :-1]
        given = shares.gather(2, inputs["input_ids"][:, 1:, None])[..., 0]
        totals.append((given * own[:, 1:]).sum(1))
        tokens.append([row[mask].tolist() for row, mask in zip(inputs["input_ids"], own, strict=True)])
    ratio = (totals[1] - totals[0]).double().cpu().numpy()
    same = [one == other for one, other in zip(*tokens, strict=True)]
    return np.where(same, np.nan, ratio)
