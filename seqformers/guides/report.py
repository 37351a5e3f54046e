"""What happened to the input of `score-guides`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from seqformers.datasets_scripts.common.remarks import OnError, Remarks

__all__ = ["GuideReport"]


class GuideReport(Remarks):
    """Counts of rows, and of what was left out or found odd; after a resume, of the whole input.

    Attributes:
        rows (`int`): Rows of the finished table.
        records (`int`): FASTA records read.
        guides (`Counter[str]`): How many guides carry each warning.
        left_out (`Counter[str]`): Filter -> guides that fail it (and none before it).
        without_site (`int`): Records without a PAM; the id of one is `first_without_site`.
        said (`list[str]`): What there is to say of files beside the input.
        model (`str`): Which model answered: `best`, `fast`, or the name of another.
        finished (`bool`): The output was there already, whole.
    """

    def __init__(self, on_error: OnError = "raise", *, pam: str = ""):
        super().__init__(on_error)
        self.pam = pam
        self.rows = self.records = 0
        self.guides: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.without_site, self.first_without_site = 0, ""
        self.said: list[str] = []
        self.model = ""
        self.finished = False

    def problem(self, what: str, message: str) -> None:
        """A record or target that cannot be used: raise, or count it under `what`."""
        skip = "" if self.on_error == "skip" else " (--on-error skip leaves it out and goes on)"
        super().problem(what, message + skip)

    def join_shards(self, others: Sequence[GuideReport]) -> None:  # type: ignore[override]
        """Count what the other shards of the same job met, too."""
        super().join_shards(others)
        for other in others:
            self.rows += other.rows
            self.records += other.records
            for mine, more in ((self.guides, other.guides), (self.left_out, other.left_out)):
                mine.update(more)
            self.without_site += other.without_site
            self.first_without_site = self.first_without_site or other.first_without_site
            self.said += [note for note in other.said if note not in self.said]

    @property
    def notes(self) -> list[str]:
        """Warnings that concern the whole input, as sentences."""
        notes, guides = self.said.copy(), self.guides
        if self.without_site:
            notes.append(
                f"{self.without_site} of {self.records} records have no {self.pam} site on either strand "
                f"(first: {self.first_without_site})"
            )
        if guides["other_pam"]:
            notes.append(
                f"{guides['other_pam']} of {self.rows} targets do not have {self.pam} as letters 5 to 8; scored all "
                "the same"
            )
        if guides["unknown_letters"] and not self.records:  # a table
            notes.append(
                f"{guides['unknown_letters']} of {self.rows} targets hold letters other than A, C, G, T, U; those are "
                "read as unknown"
            )
        if guides["accessibility_unused"]:
            notes.append(
                "this model has no accessibility layer: score equals seq_score in all "
                f"{guides['accessibility_unused']} rows; convert the published DeepCpf1 weights (seqformers convert "
                "deepcpf1 ... --full ...) and name them with --model"
            )
        if self.left_out:
            counts = ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.items() if count)
            notes.append(f"guides left out by filters: {counts or 'none'}")
        return notes

    def lines(self) -> list[str]:
        """One line a remark."""
        return [*super().lines(), *self.notes]
