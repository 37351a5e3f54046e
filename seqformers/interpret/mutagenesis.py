"""What a model makes of every single-letter change."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["saturation_mutagenesis", "variant_effects"]

Score = Callable[[Sequence[str]], np.ndarray]


def saturation_mutagenesis(
    score: Score, sequence: str, *, letters: str = "ATGC", batch_size: int = 4096
) -> tuple[float, np.ndarray]:
    """Score every single-letter change of a sequence.

    Args:
        score (`Callable`): Sequences to one number each.
        sequence (`str`): The sequence to change.
        letters (`str`, defaults to `"ATGC"`): What each letter is changed to.
        batch_size (`int`, defaults to 4096): Changed sequences held in memory at a time.

    Returns:
        `tuple`: the score of `sequence`, and an array of shape `(len(sequence), len(letters))` of the scores with
        that letter at that place; where the letter is there already, the score of `sequence`.
    """
    original = float(score([sequence])[0])
    scores = np.full((len(sequence), len(letters)), original)
    present = np.frombuffer(sequence.upper().encode("ascii", "replace"), np.uint8)[:, None]
    place, letter = np.nonzero(present != np.frombuffer(letters.encode(), np.uint8)[None])
    for at in range(0, len(place), batch_size):
        part = slice(at, at + batch_size)
        changed = [
            sequence[:p] + letters[a] + sequence[p + 1 :] for p, a in zip(place[part], letter[part], strict=True)
        ]
        scores[place[part], letter[part]] = score(changed)
    return original, scores


def variant_effects(
    original: float | np.ndarray, mutated: np.ndarray, *, probability: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Effect sizes of variants as DNABERT's tool reports them.

    Args:
        original (`float` or `np.ndarray`): Score of the sequence as it is.
        mutated (`np.ndarray`): Scores with the variants.
        probability (`bool`, defaults to `True`): Whether the scores are probabilities. If not, `difference` is plain
            and there are no odds.

    Returns:
        `tuple`: `difference = (mutated - original) * max(original, mutated)`, and
        `log_odds_ratio = log2 odds(original) - log2 odds(mutated)`, positive where the variant lowers the score.

    Examples:
        >>> import numpy as np
        >>> [round(float(value[0]), 4) for value in variant_effects(0.8, np.array([0.3]))]
        [-0.4, 3.2224]
    """
    mutated = np.asarray(mutated, dtype=np.float64)
    if not probability:
        return mutated - original, np.full(mutated.shape, np.nan)
    tiny = np.finfo(np.float32).eps / 2  # 0 and 1 stand for anything closer, which no training tells apart
    before, after = np.clip(original, tiny, 1 - tiny), np.clip(mutated, tiny, 1 - tiny)
    difference = (mutated - original) * np.maximum(original, mutated)
    return difference, np.log2(before / (1 - before)) - np.log2(after / (1 - after))
