"""Oligos to order: a protospacer and its complement, each behind the overhang of the vector."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["OLIGO_COLUMNS", "Overhangs"]

OLIGO_COLUMNS = {"oligo_top": str, "oligo_bottom": str}
_COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


@dataclass(frozen=True)
class Overhangs:
    """What stands before the guide and before its complement, 5' to 3'.

    Args:
        top (`str`): Before the protospacer.
        bottom (`str`): Before its reverse complement.

    Examples:
        >>> Overhangs.of("AGAT,AAAA").oligos(["TGACC"])
        {'oligo_top': ['AGATTGACC'], 'oligo_bottom': ['AAAAGGTCA']}
    """

    top: str
    bottom: str

    @classmethod
    def of(cls, text: str) -> Overhangs:
        """Two sequences separated by a comma; either may be empty.

        Raises:
            ValueError: it is something else.
        """
        if not re.fullmatch(r"[ACGTacgt]*,[ACGTacgt]*", text.strip()):
            raise ValueError(
                f"oligos take the overhangs of the top and the bottom strand, as in AGAT,AAAA (or , for none), "
                f"got {text!r}"
            )
        top, bottom = text.strip().upper().split(",")
        return cls(top, bottom)

    def oligos(self, protospacers: Sequence[str]) -> dict[str, list[str]]:
        """Top and bottom oligo of every protospacer, 5' to 3'."""
        return {
            "oligo_top": [self.top + guide for guide in protospacers],
            "oligo_bottom": [self.bottom + guide.translate(_COMPLEMENT)[::-1] for guide in protospacers],
        }
