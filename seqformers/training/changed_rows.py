"""Train rows that differ from epoch to epoch: classes evened out, sequences turned round, mutated or cut.

What a row of an epoch is depends on the seed, the epoch and the row's number alone, so neither the number of workers
and processes nor a kill changes what a step sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from seqformers.datasets_scripts.common.counter_draws import keys_of, uniform

__all__ = ["AUGMENT_KEYS", "BALANCE_KEYS", "Augmentation", "ChangedRows", "EvenClasses", "reverse_complements"]

# Keys of `augment` in a recipe and their types.
AUGMENT_KEYS: dict[str, Any] = {"reverse_complement": float, "mutations": float, "shift": int}
# Keys of `balance` and theirs.
BALANCE_KEYS: dict[str, Any] = {"weights": str | list[float], "focal_gamma": float, "sampling": bool}

_ORDER, _TURN, _HIT, _LETTER, _CUT = range(5)  # uses of chance
_ALPHABETS = {"dna": b"ACGT", "rna": b"ACGU", "protein": b"ACDEFGHIKLMNPQRSTVWY"}
_COMPLEMENTS = {
    "dna": bytes.maketrans(b"ACGTURYKMBDHVacgturykmbdhv", b"TGCAAYRMKVHDBtgcaayrmkvhdb"),
    "rna": bytes.maketrans(b"ACGTURYKMBDHVacgturykmbdhv", b"UGCAAYRMKVHDBugcaayrmkvhdb"),
}


@dataclass(frozen=True)
class Augmentation:
    """How sequences are changed before they are read.

    Args:
        molecule (`str`): `"dna"`, `"rna"` or `"protein"`.
        reverse_complement (`float`): Share of rows that are read from the other strand, 0 to 1.
        mutations (`float`): Chance of a letter to become another one of the alphabet, 0 to 1.
        shift (`int`): Up to so many letters are cut off one end or the other, at most half of a row, so that what is
            left stands elsewhere.

    Raises:
        ValueError: a share is not from 0 to 1, `shift` is negative, or the molecule has no second strand.

    Examples:
        >>> every = Augmentation("dna", reverse_complement=1.0)
        >>> every(["AACG", "TTN"], keys_of(0, [0, 1]))
        ['CGTT', 'NAA']
    """

    molecule: str
    reverse_complement: float = 0.0
    mutations: float = 0.0
    shift: int = 0

    def __post_init__(self) -> None:
        for name in ("reverse_complement", "mutations"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"augment.{name} must be from 0 to 1, got {getattr(self, name)}")
        if self.shift < 0:
            raise ValueError(f"augment.shift must be at least 0, got {self.shift}")
        if self.reverse_complement and self.molecule not in _COMPLEMENTS:
            raise ValueError(f"augment.reverse_complement needs DNA or RNA; this model reads {self.molecule}")

    def __call__(self, texts: Sequence[str], keys: np.ndarray) -> list[str]:
        """Change sequences.

        Args:
            texts (`Sequence[str]`): Letters; those outside the alphabet are left as they are.
            keys (`np.ndarray` of uint64, shape `(rows,)`): What chance is drawn from, one a row.
        """
        rows = [text.encode("ascii", "replace") for text in texts]
        if self.shift:
            draws = (uniform(keys, _CUT) * (2 * self.shift + 1)).astype(int) - self.shift
            rows = [_cut(row, draw) for row, draw in zip(rows, draws.tolist(), strict=True)]
        if self.mutations:
            rows = self._mutated(rows, keys)
        if self.reverse_complement:
            turned = uniform(keys, _TURN) < self.reverse_complement
            table = _COMPLEMENTS[self.molecule]
            rows = [row.translate(table)[::-1] if turn else row for row, turn in zip(rows, turned, strict=True)]
        return [row.decode() for row in rows]

    def _mutated(self, rows: list[bytes], keys: np.ndarray) -> list[bytes]:
        """Each hit letter becomes one of the others, all equally likely."""
        letters = np.frombuffer(_ALPHABETS[self.molecule], np.uint8)
        number = np.full(256, -1)
        for place, letter in enumerate(letters.tolist()):
            number[[letter, letter | 32]] = place
        if self.molecule in ("dna", "rna"):
            number[list(b"TtUu")] = 3
        lengths = np.array([len(row) for row in rows])
        flat = np.frombuffer(b"".join(rows), np.uint8).copy()
        places = np.arange(len(flat)) - np.repeat(lengths.cumsum() - lengths, lengths)
        each = keys_of(np.repeat(keys, lengths), places)
        known = number[flat]
        hit = np.flatnonzero((uniform(each, _HIT) < self.mutations) & (known >= 0))
        steps = 1 + (uniform(each[hit], _LETTER) * (len(letters) - 1)).astype(int)
        flat[hit] = letters[(known[hit] + steps) % len(letters)]
        return [part.tobytes() for part in np.split(flat, lengths.cumsum()[:-1])]


def reverse_complements(texts: Sequence[str], molecule: str) -> list[str]:
    """The other strand of each sequence of DNA or RNA, case kept, unknown letters complemented as IUPAC has them.

    Examples:
        >>> reverse_complements(["AACG", "ryN"], "dna")
        ['CGTT', 'Nry']
    """
    table = _COMPLEMENTS[molecule]
    return [text.encode("ascii", "replace").translate(table)[::-1].decode() for text in texts]


def _cut(row: bytes, draw: int) -> bytes:
    """Without the first `draw` letters, or of a negative number the last ones."""
    most = len(row) // 2
    return row[min(draw, most) :] if draw >= 0 else row[: len(row) - min(-draw, most)]


class EvenClasses:
    """Which row comes at which place of an epoch, so that every class comes equally often.

    An epoch is as long as the data. Place `i` belongs to class `i mod C`; the rows of a class come in one random order
    after the other, going on from epoch to epoch, so that none comes a second time before all have come once.

    Args:
        labels (`np.ndarray` of shape `(rows,)`): Class numbers.
        seed (`int`): Of the orders.

    Examples:
        >>> even = EvenClasses(np.array([0, 0, 0, 0, 0, 1]), seed=0)
        >>> np.array([0, 0, 0, 0, 0, 1])[even(np.arange(6), epoch=0)].tolist()
        [0, 1, 0, 1, 0, 1]
    """

    def __init__(self, labels: np.ndarray, seed: int):
        self.members = [np.flatnonzero(labels == number) for number in np.unique(labels)]
        self.rows, self.seed = len(labels), seed
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def __call__(self, places: np.ndarray, epoch: int) -> np.ndarray:
        """Row numbers at some places of an epoch, `(places,)`."""
        out = np.empty(len(places), np.int64)
        classes = len(self.members)
        for number, members in enumerate(self.members):
            mine = places % classes == number
            # Places of the class in an epoch: those below `rows` that leave the remainder `number`.
            before = epoch * ((self.rows - number + classes - 1) // classes)
            turn, place = np.divmod(before + places[mine] // classes, len(members))
            chosen = np.empty(len(turn), np.int64)
            for each in np.unique(turn).tolist():
                chosen[turn == each] = members[self._order(number, each)[place[turn == each]]]
            out[mine] = chosen
        return out

    def _order(self, number: int, turn: int) -> np.ndarray:
        """The random order of a class the `turn`-th time its rows come round."""
        if (number, turn) not in self._orders:
            if len(self._orders) > 2 * len(self.members):  # a few turns are asked for at a time
                self._orders.clear()
            keys = keys_of(self.seed, number, turn, np.arange(len(self.members[number])))
            self._orders[number, turn] = np.argsort(uniform(keys, _ORDER), kind="stable")
        return self._orders[number, turn]


class ChangedRows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Rows of a table as an epoch of training sees them.

    Args:
        rows (`datasets.Dataset`): The train split.
        seed (`int`): Of everything random.
        column (`str`, *optional*): Column of the sequences that `augmentation` changes.
        augmentation (`Augmentation`, *optional*): How.
        classes (`EvenClasses`, *optional*): Which rows come; all of them, once, by default.
    """

    def __init__(
        self,
        rows: Any,
        seed: int,
        *,
        column: str | None = None,
        augmentation: Augmentation | None = None,
        classes: EvenClasses | None = None,
    ):
        self.rows, self.seed = rows, seed
        self.column, self.augmentation, self.classes = column, augmentation, classes
        # Shared, so that workers that outlive an epoch know the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def epoch(self) -> int:
        """Whose rows are given."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch; the data loader calls it."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The rows of a batch at once; `torch`'s data loader hands them to the collator."""
        places = np.asarray(indices, np.int64)
        numbers = places if self.classes is None else self.classes(places, self.epoch)
        found = [dict(row) for row in self.rows.__getitems__(numbers.tolist())]
        if self.augmentation is not None:
            assert self.column is not None
            keys = keys_of(self.seed, self.epoch, places)
            for row, text in zip(found, self.augmentation([row[self.column] for row in found], keys), strict=True):
                row[self.column] = text
        return found
