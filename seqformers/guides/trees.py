"""Boosted trees in the text of LightGBM, evaluated without it: the same numbers for many rows at once.

Trees ask the same questions, is this column at most that threshold, so each is answered once. An answer is one bit a
row, 64 rows a word, and which rows go left or right at a split is a logical operation on such words, made for many
trees together: what is left to do a row and tree is to look up the value of its leaf.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["Trees"]

_ROWS = 2048  # a multiple of 64
_TOGETHER = 125  # trees; what they hold of so many rows stays near the processor
_PLAIN = 2  # a split by a number, missing values as zero


class Trees:
    """Regression trees whose values add up.

    Args:
        path (`str` or `Path`): What `lightgbm.Booster.save_model` wrote.

    Attributes:
        columns (`tuple[str, ...]`): Names of what the trees read.

    Raises:
        ValueError: the file is torn, or holds trees of another kind.
    """

    def __init__(self, path: str | Path):
        text, end, _ = Path(path).read_text(encoding="ascii").partition("end of trees")
        header, *blocks = text.split("\nTree=")
        fields = _fields(header)
        whole = end and blocks and len(blocks) == len(fields.get("tree_sizes", "").split())
        if not whole or fields.get("objective") != "regression":
            raise ValueError(f"{path} is torn, or holds no regression trees of LightGBM")
        self.columns = tuple(fields["feature_names"].split())
        trees = [_Tree.read(_fields(block), path) for block in blocks]
        asked = np.concatenate([np.stack([tree.column, tree.threshold], 1) for tree in trees])
        questions, which = np.unique(asked, axis=0, return_inverse=True)
        # A column holds float32: it is at most a double when it is at most the float32 next below.
        thresholds = questions[:, 1].astype(np.float32)
        above = thresholds > questions[:, 1]
        thresholds[above] = np.nextafter(thresholds[above], np.float32(-np.inf))
        read, first = np.unique(questions[:, 0].astype(int), return_index=True)
        self._thresholds = list(zip(read, np.split(thresholds[:, None], first[1:]), strict=True))
        ends = np.cumsum([len(tree.column) for tree in trees])
        each = list(zip(trees, np.split(which, ends[:-1]), strict=True))
        self._groups = [_Group.of(each[start : start + _TOGETHER]) for start in range(0, len(each), _TOGETHER)]

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Sums over all trees, added in their order: `(n,)` float64 for `(n, columns)` float32 without NaN."""
        found = np.empty(len(rows))
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS].T
            columns = np.zeros((len(some), -(-some.shape[1] // 64) * 64), np.float32)
            columns[:, : some.shape[1]] = some
            answers, total = self._answers(columns), np.zeros(columns.shape[1])
            for group in self._groups:
                total = group.add(answers, total)
            found[start : start + _ROWS] = total[: some.shape[1]]
        return found

    def _answers(self, columns: np.ndarray) -> np.ndarray:
        """Bits of all rows to every question, `(questions, n / 64)`."""
        parts = [np.packbits(columns[column] <= thresholds, axis=1) for column, thresholds in self._thresholds]
        return np.concatenate(parts).view(np.uint64)


@dataclass(frozen=True)
class _Tree:
    """Splits, of which the first is the root: column at most threshold goes left; a child below 0 is leaf `~child`."""

    column: np.ndarray
    threshold: np.ndarray
    children: np.ndarray
    values: np.ndarray

    @classmethod
    def read(cls, fields: dict[str, str], path: str | Path) -> _Tree:
        kinds = _numbers(fields, "decision_type", int)
        if fields.get("num_cat") != "0" or fields.get("is_linear", "0") != "0" or (kinds != _PLAIN).any():
            raise ValueError(f"{path} holds splits other than by numbers that are all known; train plain trees")
        children = [_numbers(fields, f"{side}_child", int) for side in ("left", "right")]
        values = _numbers(fields, "leaf_value", float)
        return cls(
            _numbers(fields, "split_feature", int), _numbers(fields, "threshold", float), np.stack(children), values
        )


@dataclass(frozen=True)
class _Group:
    """Some trees, split by split. Where a split sends its rows are two slots, after all those of the splits before.

    Args:
        question (`np.ndarray` of shape `(splits, trees)`): Row of the answers.
        parent (`np.ndarray` of shape `(splits, trees)`): Slot of the rows that reach a split; the root's is unused.
        leaves (`list[np.ndarray]`): Bit of a leaf's number -> slots of the leaves that have it, `(most, trees)`.
        values (`np.ndarray` of shape `(trees, 2 ** bits)`): Of leaves by number.
    """

    question: np.ndarray
    parent: np.ndarray
    leaves: list[np.ndarray]
    values: np.ndarray

    @classmethod
    def of(cls, trees: list[tuple[_Tree, np.ndarray]]) -> _Group:
        splits = max(len(tree.column) for tree, _ in trees)
        bits, nothing = splits.bit_length(), 2 * splits * len(trees)
        question, parent = (np.zeros((splits, len(trees)), np.intp) for _ in range(2))
        values = np.zeros((len(trees), 1 << bits))
        leaves: list[list[list[int]]] = [[[] for _ in trees] for _ in range(bits)]
        for at, (tree, asked) in enumerate(trees):
            question[: len(asked), at] = asked
            values[at, : len(tree.values)] = tree.values
            for side, split in np.ndindex(*tree.children.shape):
                child, slot = tree.children[side, split], (2 * split + side) * len(trees) + at
                if child >= 0:
                    parent[child, at] = slot
                for bit in range(bits if child < 0 else 0):
                    if ~child >> bit & 1:
                        leaves[bit][at].append(slot)
        most = [max(map(len, slots)) for slots in leaves]
        padded = [
            np.array([slots + [nothing] * (many - len(slots)) for slots in some], np.intp).T
            for some, many in zip(leaves, most, strict=True)
        ]
        return cls(question, parent, padded, values)

    def add(self, answers: np.ndarray, total: np.ndarray) -> np.ndarray:
        """`total` and the values of these trees, one after another."""
        splits, trees = self.question.shape
        reach = np.zeros((2 * splits * trees + 1, answers.shape[1]), np.uint64)
        here = np.full((trees, answers.shape[1]), ~np.uint64(0))
        for split in range(splits):
            left, right = (reach[(2 * split + side) * trees :][:trees] for side in range(2))
            if split:
                reach.take(self.parent[split], axis=0, out=here, mode="clip")
            answers.take(self.question[split], axis=0, out=left, mode="clip")
            left &= here
            np.bitwise_xor(here, left, out=right)
        leaf = np.zeros((trees, len(total)), np.min_scalar_type(self.values.shape[1] - 1))
        for bit, slots in enumerate(self.leaves):
            words = np.bitwise_or.reduce(reach[slots], axis=0)
            leaf |= np.unpackbits(words.view(np.uint8), axis=1).astype(leaf.dtype, copy=False) << bit
        values = self.values.reshape(-1).take(leaf + np.arange(0, self.values.size, self.values.shape[1])[:, None])
        values[0] += total
        return values.sum(0)


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _numbers(fields: dict[str, str], name: str, kind: type) -> np.ndarray:
    return np.array(fields.get(name, "").split(), kind)
