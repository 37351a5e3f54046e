"""Target contexts and chromatin accessibility to the arrays that [`DeepCpf1Model`] reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature, ProcessorMixin
from transformers.utils import logging

__all__ = ["UNKNOWN_BASE", "DeepCpf1Processor"]

logger = logging.get_logger(__name__)

UNKNOWN_BASE = 4
_CODES = np.full(256, UNKNOWN_BASE, dtype=np.uint8)
for _code, _letters in enumerate(("Aa", "Cc", "Gg", "TtUu")):
    _CODES[[ord(letter) for letter in _letters]] = _code


class DeepCpf1Processor(ProcessorMixin):
    r"""Encode target contexts: A, C, G, T (or U) to 0-3, any other letter to 4, which the model sees as four zeros.

    Args:
        context_length (`int`, defaults to 34): Letters each context must have.

    Examples:
        >>> from seqformers.modeling.guides.processing_deepcpf1 import DeepCpf1Processor
        >>> batch = DeepCpf1Processor()(["TGACTTTGAATGGAGTCGTGAGCGCAAGAACGCT"], accessibility=[1], return_tensors="pt")
        >>> batch["input_ids"][0, :6].tolist(), batch["accessibility"].tolist()
        ([3, 2, 0, 1, 3, 3], [1.0])
    """

    molecule = "dna"

    def __init__(self, context_length: int = 34):
        super().__init__()
        self.context_length = context_length

    @property
    def model_input_names(self) -> list[str]:
        """Names of the arrays a call returns."""
        return ["input_ids", "accessibility", "sample_weight"]

    def __call__(  # type: ignore[override]
        self,
        sequences: str | Sequence[str],
        accessibility: Sequence[float] | np.ndarray | None = None,
        sample_weight: Sequence[float] | np.ndarray | None = None,
        *,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        r"""Encode contexts and, when given, their accessibility.

        Args:
            sequences (`str` or sequence of `str`): Contexts of `context_length` letters, either case.
            accessibility (sequence of 0/1, *optional*): One value a context.
            sample_weight (sequence of `float`, *optional*): Passed on to the model's loss.
            return_tensors (`str`, *optional*): `"pt"` or `"np"`.
            **kwargs: Ignored; other processors' options.

        Returns:
            `BatchFeature`: `input_ids` of shape `(batch, context_length)` and, if given, `accessibility` of shape
            `(batch,)`; likewise `sample_weight`.

        Raises:
            ValueError: a context of another length, or an accessibility other than 0 or 1; the message names the
                first such record by its position.
        """
        if isinstance(sequences, str):
            sequences = [sequences]
        codes = self.encode(sequences)
        unknown = (codes == UNKNOWN_BASE).any(axis=1)
        if unknown.any():
            logger.warning(
                f"{int(unknown.sum())} of {len(codes)} contexts hold letters other than A, C, G, T, U "
                f"(first: record {int(unknown.argmax())}); those letters are read as unknown"
            )
        data: dict[str, np.ndarray] = {"input_ids": codes.astype(np.int64)}
        if accessibility is not None:
            data["accessibility"] = self.check_accessibility(accessibility, len(codes))
        if sample_weight is not None:
            data["sample_weight"] = np.asarray(sample_weight, dtype=np.float32).reshape(-1)
        return BatchFeature(data, tensor_type=return_tensors)

    def encode(self, sequences: Sequence[str]) -> np.ndarray:
        """Codes 0-4 of shape `(batch, context_length)`, `uint8`, without the warning.

        Raises:
            ValueError: a context is not `context_length` letters long.
        """
        lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
        wrong = np.flatnonzero(lengths != self.context_length)
        if wrong.size:
            first = int(wrong[0])
            raise ValueError(
                f"record {first} ({sequences[first]!r}) has {lengths[first]} letters, expected {self.context_length}: "
                "4 upstream, the 4-letter PAM, the protospacer and the letters after it"
                + (f"; {wrong.size} records have a wrong length" if wrong.size > 1 else "")
            )
        letters = np.frombuffer("".join(sequences).encode("latin-1", errors="replace"), dtype=np.uint8)
        return self.encode_letters(letters).reshape(len(sequences), self.context_length)

    @staticmethod
    def encode_letters(letters: np.ndarray) -> np.ndarray:
        """Codes 0-4 of an array of ASCII letters (`uint8`), any shape."""
        return _CODES[letters]

    @staticmethod
    def check_accessibility(values: Sequence[float] | np.ndarray, count: int) -> np.ndarray:
        """The values as `float32` of shape `(count,)`, or `ValueError` naming the first that is neither 0 nor 1."""
        array = np.asarray(values, dtype=np.float32).reshape(-1)
        if array.size != count:
            raise ValueError(f"{array.size} accessibility values for {count} contexts; give one a context")
        wrong = np.flatnonzero(~np.isin(array, (0.0, 1.0)))
        if wrong.size:
            raise ValueError(
                f"record {int(wrong[0])}: accessibility is {array[wrong[0]]:g}, expected 1 (open chromatin) or 0"
            )
        return array
