"""What a job met that the user should know of: counted by kind, with a few examples each."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Literal

__all__ = ["OnError", "Remarks"]

OnError = Literal["raise", "skip"]

_SHOWN = 3


class Remarks:
    """Counts of what was skipped, mended or found odd, by kind.

    Args:
        on_error (`"raise"` or `"skip"`, *optional*, defaults to `"raise"`): What [`problem`] does.

    Attributes:
        counts (`Counter[str]`): Kind -> how often.
        examples (`dict[str, list[str]]`): Kind -> the first few cases.

    Examples:
        >>> remarks = Remarks("skip")
        >>> remarks.problem("records left out", "a.fa, record 'x': it is empty")
        >>> remarks.lines()
        ["1 records left out: a.fa, record 'x': it is empty"]
    """

    def __init__(self, on_error: OnError = "raise"):
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error is 'raise' or 'skip', not {on_error!r}")
        self.on_error = on_error
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def with_on_error(self, on_error: OnError | None) -> Remarks:
        """These remarks (the counts are shared), with another answer to problems; `None` keeps it."""
        other = Remarks(on_error or self.on_error)
        other.counts, other.examples = self.counts, self.examples
        return other

    def note(self, what: str, example: str, count: int = 1) -> None:
        """Something the user should know of; the job goes on."""
        self.counts[what] += count
        shown = self.examples.setdefault(what, [])
        if len(shown) < _SHOWN:
            shown.append(example)

    def problem(self, what: str, message: str) -> None:
        """Something that cannot be used: raise `ValueError`, or count it under `what` and go on."""
        if self.on_error == "raise":
            raise ValueError(message)
        self.note(what, message)

    def join_shards(self, others: Sequence[Remarks]) -> None:
        """Take over what the other shards of the same job met.

        Each has read the whole input, so what all of them say alike, with the same examples, is of the input and
        counts once; the rest is of their own shares and is added up.
        """
        shards = (self, *others)
        for what in dict.fromkeys(what for shard in shards for what in shard.counts):
            said = [(shard.counts[what], shard.examples.get(what, [])) for shard in shards]
            if any(one != said[0] for one in said):
                self.counts[what] = sum(count for count, _ in said)
                self.examples[what] = [example for _, examples in said for example in examples][:_SHOWN]

    def lines(self) -> list[str]:
        """One line a kind."""
        return [
            f"{count:,} {what}: {'; '.join(self.examples[what])}{' ...' if count > len(self.examples[what]) else ''}"
            for what, count in self.counts.items()
        ]

    def warn(self, where: str = "", *, stacklevel: int = 2) -> None:
        """Raise every kind as a Python warning, each beginning with `where`."""
        for line in self.lines():
            warnings.warn(f"{where}: {line}" if where else line, UserWarning, stacklevel=stacklevel + 1)
