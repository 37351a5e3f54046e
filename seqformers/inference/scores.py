"""Scores of sequences and of records by a trained classifier or regressor: the one place where logits become numbers.

The last digits of single precision depend on the machine. A score is written with fewer digits, and where those
digits hang on the ones that do not hold, the windows are read again in double precision: the digits written are those
of the exact score, for any batch size, number of threads, device or resume. Coarser precisions keep their own digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from seqformers.hub.load import Loaded
from seqformers.inference.engine import RecordResult, run_records, run_windows
from seqformers.inference.windowing import Windowing, check_count

__all__ = ["RecordScore", "Scorer", "round_score"]

_DIGITS = 4
_SMALLEST = 7  # decimals, also of scores next to 0 and 1
_WINDOWS_TO_LEARN = 32  # read in both precisions at first, to see how far they are apart
_SAFETY = 8  # the difference allowed for, in units of the largest one seen
_EQUAL = 1e-9  # exact scores nearer than this are equal: the first label is taken


@dataclass
class RecordScore:
    """The score of one record.

    Args:
        id (`str`): Its id.
        length (`int`): Its letters.
        num_windows (`int`): Windows that were read.
        scores (`np.ndarray` of shape `(labels,)`, *optional*): Mean over its windows; None without a known token.
    """

    id: str
    length: int
    num_windows: int
    scores: np.ndarray | None


class Scorer:
    """Scores sequences: probabilities of a classifier, one of each label where there may be several; or values.

    Args:
        loaded (`Loaded`): Model with a sequence classification head, and its tokenizer.
        batch_size (`int`, defaults to 64): Windows a forward pass; does not change the answer.

    Attributes:
        is_probability (`bool`): Whether scores lie between 0 and 1.
        several_labels (`bool`): Whether each label has a probability of its own.
        labels (`list[str]`): Names of the columns.

    Raises:
        ValueError: the model has no such head, or `batch_size` is below 1.
    """

    def __init__(self, loaded: Loaded, *, batch_size: int = 64):
        check_count("batch_size", batch_size)
        if not type(loaded.model).__name__.endswith("ForSequenceClassification"):
            raise ValueError(
                f"{type(loaded.model).__name__} scores no sequences; this needs a fine-tuned classifier or regressor"
            )
        self.loaded, self.batch_size = loaded, batch_size
        config = loaded.config
        self.is_probability = config.problem_type != "regression" and config.num_labels > 1
        self.several_labels = config.problem_type == "multi_label_classification"
        self.is_probability |= self.several_labels
        self.labels = [str(config.id2label[number]) for number in range(config.num_labels)]
        self._apart, self._learned = 0.0, 0

    def __call__(self, sequences: Sequence[str]) -> np.ndarray:
        """Exact scores of sequences that the model reads whole: `(sequences, labels)` float64."""
        return self.activate(self._logits(sequences))

    def quick(self, sequences: Sequence[str]) -> np.ndarray:
        """Scores of many sequences in the model's precision, some 1e-6 from the exact ones in fp32; as `__call__`."""
        return self.activate(self._logits(sequences, exact=False))

    def score_records(self, records: Iterable[Any], windowing: Windowing) -> Iterator[RecordScore]:
        """Yield the score of every record (`id`, `sequence`), in order: the mean over its windows.

        Raises:
            ValueError: the model gives something that is no number; the message names the record.
        """
        results = run_records(records, self.loaded, windowing, _logits, batch_size=self.batch_size)
        for result in results:
            scores = None if result.values is None else self._settle(result)
            yield RecordScore(result.id, len(result.sequence), result.num_windows, scores)

    def activate(self, logits: np.ndarray) -> np.ndarray:
        """Logits to scores, both `(sequences, labels)` float64."""
        if not self.is_probability:
            return logits
        tensor = torch.from_numpy(logits)
        return (tensor.sigmoid() if self.several_labels else tensor.softmax(-1)).numpy()

    def best(self, scores: np.ndarray) -> int:
        """Column of the best label."""
        return int(np.flatnonzero(scores >= scores.max() - _EQUAL)[0])

    def column(self, label: str | None, scores: np.ndarray) -> int:
        """Column that `label` (name or number) means; when it is None, the positive class of two, else the best."""
        if label is None:
            if self.several_labels or len(self.labels) > 2:
                return self.best(scores)
            return len(self.labels) - 1
        if label in self.labels:
            return self.labels.index(label)
        if label.isdigit() and int(label) < len(self.labels):
            return int(label)
        raise ValueError(f"no label {label!r}; the model knows {', '.join(self.labels)}")

    def round(self, score: float) -> float:
        """`score` with the digits that hold; see `round_score`."""
        return round_score(score, probability=self.is_probability)

    def _logits(self, sequences: Sequence[str], *, exact: bool = True) -> np.ndarray:
        exact = exact and self.loaded.precision == "fp32"
        logits = run_windows(sequences, self.loaded, _logits, batch_size=self.batch_size, exact=exact)
        if not np.isfinite(logits).all():
            raise ValueError("the model gives no number for it (NaN or infinite)")
        return logits

    def _settle(self, result: RecordResult) -> np.ndarray:
        """Mean scores of a record whose written digits, and whose label, are those of double precision."""
        assert result.values is not None
        finite = bool(np.isfinite(result.values).all())
        if finite and self.loaded.precision != "fp32":
            return self.activate(result.values).mean(axis=0)
        if finite and self._learned >= _WINDOWS_TO_LEARN:
            scores = self.activate(result.values)
            if not self._hangs(scores, result.values):
                return scores.mean(axis=0)
        try:
            exact = self._logits([span.letters for span in result.spans])
        except ValueError as error:
            raise ValueError(f"record {result.id!r}: {error}") from error
        if finite:
            self._apart = max(self._apart, float(np.abs(exact - result.values).max()))
            self._learned += len(exact)
        return self.activate(exact).mean(axis=0)

    def _hangs(self, scores: np.ndarray, logits: np.ndarray) -> bool:
        """Whether the label or a written digit may be another one in double precision."""
        slack = _SAFETY * max(self._apart, 1e-7 * float(np.abs(logits).max()))
        # A change of the logits by `slack` moves a probability p by at most 2 slack p (1 - p).
        moves = 2 * slack * scores * (1 - scores) if self.is_probability else np.full_like(scores, slack)
        mean, move = scores.mean(axis=0), moves.mean(axis=0) + _EQUAL
        best = int(mean.argmax())
        others = np.arange(len(mean)) != best
        if (mean[others] + move[others] >= mean[best] - move[best]).any():
            return True
        shown = self.column(None, mean)
        return self.round(mean[shown] - move[shown]) != self.round(mean[shown] + move[shown])


def _logits(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**batch).logits


def round_score(score: float, *, probability: bool = True) -> float:
    """A score with the digits that every batch size, number of threads and device agree on.

    Four significant digits of a probability, or of what it lacks to 1 where that is smaller (7 decimals at most); of
    other values 4 decimals, or 5 significant digits where that is less.

    Examples:
        >>> round_score(0.31382719), round_score(0.042519), round_score(0.99987654321)
        (0.3138, 0.04252, 0.9998765)
        >>> round_score(1234.5678, probability=False), round_score(-0.123456, probability=False)
        (1234.6, -0.1235)
    """
    if probability:
        small = max(min(score, 1 - score), 10.0**-_SMALLEST)
        return round(score, min(_DIGITS - 1 - math.floor(math.log10(small)), _SMALLEST))
    return round(score, _DIGITS - max(0, math.floor(math.log10(max(abs(score), 1.0)))))
