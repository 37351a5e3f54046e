"""How a record is cut into windows that a model reads whole; one rule for every command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seqformers.datasets_scripts.common.windows import window_starts
from seqformers.hub.load import Loaded
from seqformers.hub.positions import max_tokens

__all__ = ["Span", "Windowing", "check_count", "context_letters", "reverse_complement"]

_COMPLEMENT = str.maketrans("ACGTUacgtuRYKMBDHVrykmbdhv", "TGCAAtgcaaYRMKVHDByrmkvhdb")


class Span(NamedTuple):
    """A window of a record: its first letter (0-based), its letters, and whether they are the reverse complement."""

    start: int
    letters: str
    reverse: bool = False


@dataclass(frozen=True)
class Windowing:
    """How a record is cut.

    Args:
        window (`int`, *optional*): Letters in a window, at least 1; default what the model was trained on.
        step (`int`, *optional*): Letters between the starts of windows, 1 to `window`; default `window`. The last
            window ends with the record.
        both_strands (`bool`): Also read the reverse complement of every window (DNA and RNA).
        limit (`int`, *optional*): At most so many windows a record, evenly spread.

    Raises:
        ValueError: a number is out of range.

    Examples:
        >>> [span.letters for span in Windowing(4, step=3).cut("ACGTACGT")]
        ['ACGT', 'TACG', 'ACGT']
    """

    window: int | None = None
    step: int | None = None
    both_strands: bool = False
    limit: int | None = None

    def __post_init__(self) -> None:
        for name in ("window", "step", "limit"):
            check_count(name, getattr(self, name))
        if self.window is not None and self.step is not None and self.step > self.window:
            raise ValueError(
                f"step {self.step} is larger than the window of {self.window} letters: what lies between would never "
                "be read"
            )

    def for_model(self, loaded: Loaded) -> Windowing:
        """The windowing with the window and step that a model gets.

        Raises:
            ValueError: a window is shorter than a token or longer than the model reads; or both strands of a protein.
        """
        reading = loaded.reading
        if self.both_strands and reading.molecule == "protein":
            raise ValueError(f"{loaded.name} reads proteins, which have one strand; leave --both-strands out")
        usual, most = context_letters(loaded)
        window = self.window or min(usual, most)
        if window > most:
            raise ValueError(f"a window of {window:,} letters is more than the {most:,} {loaded.name} reads at once")
        if window < reading.letters_per_token:
            raise ValueError(f"a window of {window} letters is shorter than a token ({reading.letters_per_token})")
        return Windowing(window, self.step or window, self.both_strands, self.limit)

    def cut(self, sequence: str) -> list[Span]:
        """Windows of one record, forward strand first; a short record is one window, an empty one none."""
        assert self.window is not None, "for_model first"
        starts = window_starts(len(sequence), self.window, self.step)
        if self.limit is not None and len(starts) > self.limit:
            starts = starts[np.linspace(0, len(starts) - 1, self.limit).round().astype(int)]
        spans = [Span(start, sequence[start : start + self.window]) for start in starts.tolist()]
        if self.both_strands:
            spans += [Span(span.start, reverse_complement(span.letters), True) for span in spans]
        return spans


def reverse_complement(sequence: str) -> str:
    """Reverse complement of DNA letters, IUPAC codes included; RNA comes back as DNA.

    Examples:
        >>> reverse_complement("AACGTN")
        'NACGTT'
    """
    return sequence.translate(_COMPLEMENT)[::-1]


def context_letters(loaded: Loaded) -> tuple[int, int]:
    """Letters of the reads a model was trained on (where its run says so), and the most letters it reads at once."""
    config, tokenizer, reading = loaded.config, loaded.encoder, loaded.reading
    tokens = max_tokens(config) or tokenizer.model_max_length
    tokens = min(int(tokens), int(tokenizer.model_max_length)) - tokenizer.num_special_tokens_to_add()
    most = reading.letters(tokens * (getattr(config, "max_chunks", None) or 1))
    return getattr(config, "read_length", None) or most, most


def check_count(name: str, value: int | None, *, least: int = 1) -> None:
    """Raise `ValueError` unless `value` is None or a whole number of at least `least`."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
        raise ValueError(f"{name} is {value!r}; expected a whole number from {least} on")
