"""A convolutional stem: an encoder over tokens joined in groups, for inputs that would be too long token by token.

Attention costs the square of the positions it reads. Here a convolution joins the embeddings of `stride` neighbouring
tokens into one position before the encoder, and a transposed convolution spreads what comes out over the tokens again,
beside each token's own embedding; so all heads of tokens work, and a masked token shows nothing of itself. The first
token, [CLS], keeps a position of its own. Padding reaches nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["DnaStem"]


class DnaStem(nn.Module):
    """What joins tokens before an encoder, and spreads its positions behind it.

    Args:
        config (`PreTrainedConfig`): `hidden_size`, `layer_norm_eps`, `stem_stride` and `stem_width`.
    """

    def __init__(self, config: Any):
        super().__init__()
        size, self.stride, self.width = config.hidden_size, config.stem_stride, config.stem_width
        self.join = nn.Conv1d(size, size, self.width, stride=self.stride)
        self.spread = nn.ConvTranspose1d(size, size, self.stride, stride=self.stride)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)

    def joined(self, tokens: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Join tokens.

        Args:
            tokens (`torch.Tensor` of shape `(batch, length, hidden)`): Their embeddings.
            real (`torch.BoolTensor` of shape `(batch, length)`): False for padding.

        Returns:
            `tuple`: positions `(batch, 1 + groups, hidden)`, and which of them hold a token.
        """
        groups = -(-(tokens.shape[1] - 1) // self.stride)
        over = groups * self.stride - (tokens.shape[1] - 1)
        rest = (tokens[:, 1:] * real[:, 1:, None]).transpose(1, 2)
        beyond = self.width - self.stride  # bases that a filter reads outside its group, as many on both sides
        rest = self.join(nn.functional.pad(rest, (beyond // 2, over + beyond - beyond // 2)))
        held = nn.functional.pad(real[:, 1:], (0, over)).unflatten(1, (groups, self.stride)).any(2)
        return torch.cat([tokens[:, :1], rest.transpose(1, 2)], 1), torch.cat([real[:, :1], held], 1)

    def spread_out(self, positions: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Give every token what its position became, and its own embedding; `(batch, length, hidden)`."""
        rest = self.spread(positions[:, 1:].transpose(1, 2)).transpose(1, 2)[:, : tokens.shape[1] - 1]
        return torch.cat([positions[:, :1], self.LayerNorm(rest + tokens[:, 1:])], 1)
