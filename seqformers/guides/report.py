"""What happened to the input of `score-guides`."""

from __future__ import annotations

from collections import Counter

from seqformers.datasets_scripts.common.remarks import OnError, Remarks

__all__ = ["GuideReport"]


class GuideReport(Remarks):
    """Counts of rows, and of what was left out or found odd; after a resume, of the whole input.

    Attributes:
        rows (`int`): Rows of the finished table.
        records (`int`): FASTA records read.
        guides (`Counter[str]`): How many guides carry each warning.
        left_out (`Counter[str]`): Filter -> guides that fail it (and none before it).
        notes (`list[str]`): Warnings that concern the whole input, as sentences.
        model (`str`): Which model answered: `best`, `fast`, or the name of another.
        finished (`bool`): The output was there already, whole.
    """

    def __init__(self, on_error: OnError = "raise"):
        super().__init__(on_error)
        self.rows = self.records = 0
        self.guides: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []
        self.model = ""
        self.finished = False

    def problem(self, what: str, message: str) -> None:
        """A record or target that cannot be used: raise, or count it under `what`."""
        skip = "" if self.on_error == "skip" else " (--on-error skip leaves it out and goes on)"
        super().problem(what, message + skip)

    def add(self, other: GuideReport) -> None:
        """Count what another shard of the same job met, too."""
        self.rows += other.rows
        self.records += other.records
        for mine, more in ((self.guides, other.guides), (self.left_out, other.left_out)):
            mine.update(more)
        for what, count in other.counts.items():
            self.counts[what] += count
            self.examples.setdefault(what, other.examples[what])
        self.notes += [note for note in other.notes if note not in self.notes]

    def lines(self) -> list[str]:
        """One line a remark."""
        return [*super().lines(), *self.notes]
