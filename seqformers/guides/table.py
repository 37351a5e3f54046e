"""Tables of 34-letter Cpf1 targets: checked and scored in chunks, every column kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from seqformers.datasets_scripts.common.letters import check_letters
from seqformers.guides.report import GuideReport
from seqformers.guides.rows import round_scores
from seqformers.guides.scorer import Scorer
from seqformers.guides.sites import CONTEXT, PAM_LENGTH, UPSTREAM, Pam
from seqformers.modeling.guides.processing_deepcpf1 import UNKNOWN_BASE, DeepCpf1Processor

__all__ = ["SCORES", "check_targets", "score_targets", "target_codes"]

SCORES = {"seq_score": float, "score": float}


def check_targets(
    chunk: pd.DataFrame, where: Callable[[int], str], scorer: Scorer, pam: Pam, report: GuideReport
) -> pd.DataFrame:
    """The rows of a chunk that can be scored, targets stripped of blanks, without scores of an earlier run.

    Args:
        chunk (`pd.DataFrame`): Columns `id`, `target` and maybe `accessible`; its index numbers the rows.
        where (callable): Says of such a number where the row stands.
        scorer (`GuideScorer`): Says whether accessibility counts.
        pam (`Pam`): Targets with another PAM are counted.
        report (`GuideReport`): Told of targets that cannot be used (they raise `ValueError`, or are left out), have
            another PAM, unknown letters, or an accessibility that the model does not read.
    """
    chunk = chunk.drop(columns=list(SCORES), errors="ignore").assign(target=chunk["target"].str.strip())
    with_access = "accessible" in chunk
    access = chunk["accessible"] if with_access else chunk["id"]
    kept = []
    for number, name, target, accessible in zip(chunk.index, chunk["id"], chunk["target"], access, strict=True):
        try:
            _check(f"{where(number)}: target of {name!r}", target)
            if with_access:
                _accessibility(f"{where(number)}: accessible of {name!r}", accessible)
        except ValueError as error:
            report.problem("targets left out", str(error))
            continue
        kept.append(number)
    chunk = chunk.loc[kept]
    letters = _letters(chunk)
    report.rows += len(chunk)
    report.guides["other_pam"] += int((~pam.fits(letters[:, UPSTREAM : UPSTREAM + PAM_LENGTH])).sum())
    report.guides["unknown_letters"] += int((DeepCpf1Processor.encode_letters(letters) == UNKNOWN_BASE).any(1).sum())
    if with_access and not scorer.uses_accessibility:
        report.guides["accessibility_unused"] += len(chunk)
    return chunk


def score_targets(chunk: pd.DataFrame, scorer: Scorer) -> list[dict[str, Any]]:
    """Rows of a checked chunk with their scores."""
    accessible = None
    if "accessible" in chunk:
        accessible = np.array([_accessibility("", value) for value in chunk["accessible"]], np.float32)
    sequence, final = scorer.score(target_codes(chunk), accessible)
    return chunk.assign(seq_score=round_scores(sequence), score=round_scores(final)).to_dict("records")


def target_codes(chunk: pd.DataFrame) -> np.ndarray:
    """`(n, 34)` codes of a checked chunk."""
    return DeepCpf1Processor.encode_letters(_letters(chunk))


def _letters(chunk: pd.DataFrame) -> np.ndarray:
    return np.frombuffer("".join(chunk["target"]).encode("ascii"), np.uint8).reshape(len(chunk), CONTEXT)


def _check(where: str, target: str) -> None:
    if len(target) != CONTEXT:
        shown = target if len(target) <= 2 * CONTEXT else f"{target[: 2 * CONTEXT]}..."
        raise ValueError(
            f"{where} has {len(target)} letters ({shown!r}), expected {CONTEXT}: 4 upstream, the PAM, 23 of the "
            "protospacer, 3 downstream"
        )
    check_letters(target, "dna", where=where)


def _accessibility(where: str, value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = -1.0
    if found not in (0.0, 1.0):
        raise ValueError(
            f"{where} is {str(value)!r}, expected 1 (in open chromatin) or 0; leave the column out to score from the "
            "sequence alone"
        )
    return found
