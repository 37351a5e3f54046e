"""The first layers of a DeepCpf1 network as one table: several times faster than computing them, same numbers.

Convolution, ReLU, pooling and the product with the first dense layer see a context one word of
`kernel_size + pool_size - 1` letters at a time. There are 4 ** 6 such words in the published shape, so what each adds
to the first dense layer at each position is computed once; a context is then the sum of 15 rows of the table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

__all__ = ["WordTable"]

_LONGEST_WORD = 7
_BASES = 4


class WordTable:
    """A DeepCpf1 model that scores contexts of known letters by look-up.

    Args:
        model (`DeepCpf1Model`): In evaluation mode, on its device; [`~WordTable.fits`] must hold.
    """

    def __init__(self, model: Any):
        self.model, config = model, model.config
        self.word, self.stride = config.kernel_size + config.pool_size - 1, config.pool_size
        self.positions = config.num_positions
        first = model.dense[0]
        every = np.arange(_BASES**self.word)[:, None] // _BASES ** np.arange(self.word)[::-1] % _BASES
        one_hot = torch.nn.functional.one_hot(torch.from_numpy(every), _BASES).to(first.weight)
        with torch.inference_mode():
            pooled = torch.relu(model.convolution(one_hot.transpose(1, 2))).mean(2)  # (words, filters)
            weight = first.weight.unflatten(1, (self.positions, -1)).transpose(0, 1)  # (positions, units, filters)
            table = pooled @ weight.transpose(1, 2)
            table[0] += first.bias
        self.rows = table.flatten(0, 1)
        self.offsets = torch.arange(self.positions, device=self.rows.device) * _BASES**self.word

    @staticmethod
    def fits(config: Any) -> bool:
        """Whether the shape has a convolution of few enough words."""
        return config.num_filters > 0 and config.kernel_size + config.pool_size - 1 <= _LONGEST_WORD

    def __call__(
        self, codes: torch.Tensor, accessibility: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores from the sequence alone and final scores, `(batch,)` each, of `(batch, context_length)` codes 0-3."""
        stop = self.positions * self.stride
        words = codes[:, 0 : stop : self.stride].long()
        for offset in range(1, self.word):
            words = words * _BASES + codes[:, offset : stop + offset : self.stride]
        hidden = torch.relu(torch.nn.functional.embedding_bag(words + self.offsets, self.rows, mode="sum"))
        for layer in self.model.dense[1:]:
            hidden = torch.relu(layer(hidden))
        return self.model.score_states(hidden, accessibility)
