"""Likelihood of whole topologies under the grammar of the decoder: a protein's side of the membrane is one decision.

The cross-entropy of single residues does not mind whether a whole protein is upside down. Here a topology is scored as
the decoder scores it, by the sum of its residues' logits, and the loss is the negative log likelihood of the true one
among all that the grammar allows (a linear-chain conditional random field without weights of its own but a scale).
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["GrammarLoss"]

# States: inside, outside, a helix on its way out, one on its way in, signal peptide. Class that each emits:
_EMITS = [0, 1, 2, 2, 3]
# Steps to another state, and which of the chances below each has: to enter a helix, to leave it, to end a signal.
_CHANCES = (0.01, 0.05, 0.04)
_STEPS = {(0, 2): 0, (1, 3): 0, (2, 1): 1, (3, 0): 1, (4, 1): 2}
_PER = 20.0  # residues that one unit of the loss is of
_NEVER = -1e4


class GrammarLoss(nn.Module):
    """Mean over the proteins of -log P(topology) for every 20 labelled residues.

    `scale` (natural log) tempers the logits, since what neighbours say is mostly the same thing twice; `chances`
    (logits) are those of a helix to begin, of one to end, and of a signal peptide to end, a residue.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(-1.0))
        self.chances = nn.Parameter(torch.logit(torch.tensor(_CHANCES)))

    def steps(self) -> torch.Tensor:
        """Log probabilities of going from a state to another, (5, 5)."""
        leave, stay = torch.nn.functional.logsigmoid(self.chances), torch.nn.functional.logsigmoid(-self.chances)
        rows = [[_NEVER] * 5 for _ in range(5)]
        table = torch.tensor(rows, device=leave.device)
        for (before, after), chance in _STEPS.items():
            table[before, after] = leave[chance]
            table[before, before] = stay[chance]
        return table

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Loss of logits (B, T, 4) against labels (B, T), negative where nothing is known.

        A row whose labels break the grammar (a loop that dips into the membrane) is left out.
        """
        with torch.autocast(logits.device.type, enabled=False):
            emit = (logits.float().log_softmax(-1) * self.scale.exp())[..., _EMITS]
            classes = torch.tensor(_EMITS, device=labels.device)
            wrong = (labels[..., None] >= 0) & (labels[..., None] != classes)
            both = torch.cat([emit, emit.masked_fill(wrong, _NEVER)])
            scores = _all_paths(both, self.steps(), attention_mask.bool().repeat(2, 1))
            free, bound = scores.chunk(2)
            used = (labels >= 0).any(1) & (bound > _NEVER / 2)
            if not bool(used.any()):
                return emit.sum() * 0.0
            residues = (labels >= 0).sum(1).clamp(min=1)
            return ((free - bound)[used] / residues[used]).sum() / used.sum() * _PER


def _all_paths(emit: torch.Tensor, steps: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Log of the summed exponentials of all paths of each row (B,), by the forward recursion."""
    score = emit[:, 0]
    for place in range(1, emit.shape[1]):
        after = torch.logsumexp(score[:, :, None] + steps, 1) + emit[:, place]
        score = torch.where(mask[:, place, None], after, score)
    return torch.logsumexp(score, 1)
