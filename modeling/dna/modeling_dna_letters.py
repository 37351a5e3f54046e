"""What the families over single bases share: one-hot letters, rows of unlike length, the other strand."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["DnaLetters", "backwards", "bases_of", "exporting", "gathered", "real_positions"]

# One row an id of KmerTokenizer(k=1): [PAD] [UNK] [CLS] [SEP] [MASK] A T C G. Columns: A C G T, and "not a base".
# The order makes the reverse complement of a sequence the flip of both axes.
_LETTERS = (
    (0, 0, 0, 0, 1), (0.25, 0.25, 0.25, 0.25, 0), (0, 0, 0, 0, 1), (0, 0, 0, 0, 1), (0.25, 0.25, 0.25, 0.25, 0),
    (1, 0, 0, 0, 0), (0, 0, 0, 1, 0), (0, 1, 0, 0, 0), (0, 0, 1, 0, 0),
)  # fmt: skip
_BASES = 4


class DnaLetters(nn.Module):
    """Ids as one-hot bases (A, C, G, T; unknown ones 0.25 each) and a flag of what is no base; it has no weights."""

    num_embeddings = len(_LETTERS)
    embedding_dim = _BASES + 1

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Map (...) to (..., 5)."""
        table = torch.tensor(_LETTERS, device=input_ids.device, dtype=torch.get_default_dtype())
        return table[input_ids.clamp(max=len(_LETTERS) - 1)]


def exporting() -> bool:
    """Whether the model is being made a graph, in which no number of a tensor may be looked at."""
    return bool(getattr(torch.compiler, "is_exporting", bool)())  # torch 2.6 does not say it


def real_positions(lengths: torch.Tensor, width: int) -> torch.Tensor:
    """Which of `width` positions belong to rows of `lengths`, `(batch, width)` bool."""
    return torch.arange(width, device=lengths.device) < lengths[:, None]


def backwards(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The positions of each row in reverse order, `(batch, channels, positions)`; the rest of a row is undefined."""
    index = (lengths[:, None] - 1 - torch.arange(x.shape[2], device=x.device)).clamp(min=0)
    return x.gather(2, index[:, None].expand(-1, x.shape[1], -1))


def bases_of(letters: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Which tokens are bases, `(batch, length)` bool; `letters` are those of [`DnaLetters`], `(batch, length, 5)`."""
    content = letters[..., _BASES] == 0
    return content if mask is None else content & (mask != 0)


def gathered(letters: torch.Tensor, content: torch.Tensor, width: int, before: torch.Tensor) -> torch.Tensor:
    """The bases of rows as `(batch, 4, width)`, `before` (batch,) zeros before the first, zeros behind the last."""
    counts = content.sum(-1)
    number = torch.where(content, content.cumsum(-1) - 1, content.shape[1])  # of each base in its row
    columns = torch.arange(content.shape[1], device=content.device).expand_as(content)
    order = counts.new_zeros(content.shape[0], content.shape[1] + 1).scatter(1, number, columns)
    wanted = torch.arange(width, device=counts.device) - before[:, None]
    index = order.gather(1, wanted.clamp(min=0, max=letters.shape[1] - 1))
    inside = (wanted >= 0) & (wanted < counts[:, None])
    x = letters.gather(1, index[..., None].expand(-1, -1, _BASES + 1))[..., :_BASES] * inside[..., None]
    return x.transpose(1, 2)
