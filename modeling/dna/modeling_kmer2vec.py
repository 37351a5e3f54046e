"""Word vectors of k-mers: skip-gram and CBOW with negative sampling (Mikolov et al. 2013), and heads on their mean.

Words meet their neighbours in blocks: one product of matrices holds all pairs of a block of places. Negatives are
drawn from the counts of the words seen so far to the power 0.75: a corpus is read once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling, ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_kmer2vec import Kmer2VecConfig
from .modeling_dna_heads import DnaForRows, reverse_complement_ids

__all__ = [
    "Kmer2VecForPreTraining",
    "Kmer2VecForPreTrainingOutput",
    "Kmer2VecForSequenceClassification",
    "Kmer2VecModel",
    "Kmer2VecPreTrainedModel",
]

_NUM_SPECIAL_TOKENS = 5
_POWER = 0.75
_BLOCK = 64  # places of a row that meet all their neighbours in one product


class Kmer2VecPreTrainedModel(PreTrainedModel):
    """Initialisation and loading shared by the family; see `transformers.PreTrainedModel`."""

    config: Kmer2VecConfig
    config_class = Kmer2VecConfig
    base_model_prefix = "kmer2vec"
    main_input_name = "input_ids"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Vectors uniform within 1 / (2 width), as word2vec's; what they are told against begins at zero."""
        if isinstance(module, nn.Embedding):
            bound = 0.0 if getattr(module, "is_context", False) else 0.5 / module.embedding_dim
            init.uniform_(module.weight, -bound, bound)
            if module.padding_idx is not None:
                init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, nn.Linear):
            init.normal_(module.weight, 0.0, module.in_features**-0.5)
            init.zeros_(module.bias)
        elif isinstance(module, Kmer2VecForPreTraining):
            init.zeros_(module.counts)


class Kmer2VecModel(Kmer2VecPreTrainedModel):
    """The vectors of the words of a row, and of the row.

    Example:
    ```python
    >>> import torch
    >>> from seqformers import Kmer2VecConfig, Kmer2VecModel

    >>> model = Kmer2VecModel(Kmer2VecConfig(k=3, hidden_size=8)).eval()
    >>> model(torch.tensor([[2, 7, 9, 3]])).pooler_output.shape
    torch.Size([1, 8])

    ```
    """

    def __init__(self, config: Kmer2VecConfig):
        super().__init__(config)
        assert config.vocab_size is not None
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The table of vectors."""
        return self.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table of vectors."""
        self.word_embeddings = value

    def words(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Ids as the vectors know them: of a k-mer and its reverse complement the smaller, with `both_strands`."""
        if not self.config.both_strands:
            return input_ids
        return torch.minimum(input_ids, reverse_complement_ids(input_ids, self.config.lengths))

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Look up a batch.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`): Ids of `KmerTokenizer(k)`.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*): 1 for tokens, 0 for padding.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, length, hidden)`, *optional*): Instead of
                `input_ids`; the first token and the last one of each row are taken for the frame.
            **kwargs: `output_hidden_states`, `return_dict`; others are accepted so that generic callers can pass what
                other models take.

        Returns:
            `BaseModelOutputWithPooling`: `last_hidden_state` of shape `(batch, length, hidden)`, zero at padding;
            `pooler_output` of shape `(batch, hidden)`, of the k-mers alone.
        """
        if kwargs.get("output_attentions"):
            raise ValueError("kmer2vec is a network without attention; leave output_attentions out")
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        source = inputs_embeds if input_ids is None else input_ids
        assert source is not None
        real = torch.ones(source.shape[:2], dtype=torch.bool, device=source.device)
        real = real if attention_mask is None else attention_mask != 0
        if input_ids is not None:
            vectors, content = self.word_embeddings(self.words(input_ids)), real & (input_ids >= _NUM_SPECIAL_TOKENS)
        else:
            assert inputs_embeds is not None
            number = real.cumsum(-1)
            vectors, content = inputs_embeds, real & (number > 1) & (number < number[:, -1:])
        vectors = vectors * real[..., None]
        wanted = kwargs.get("output_hidden_states")
        wanted = self.config.output_hidden_states if wanted is None else wanted
        return BaseModelOutputWithPooling(
            last_hidden_state=vectors,
            pooler_output=self._pooled(vectors, content),
            hidden_states=(vectors,) if wanted else None,
        )

    def _pooled(self, vectors: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
        if self.config.pooling == "max":
            low = vectors.masked_fill(~content[..., None], torch.finfo(vectors.dtype).min).amax(1)
            return torch.where(content.any(1, keepdim=True), low, torch.zeros_like(low))
        total = (vectors * content[..., None]).sum(1)
        return total if self.config.pooling == "sum" else total / content.sum(1, keepdim=True).clamp(min=1)


@dataclass
class Kmer2VecForPreTrainingOutput(ModelOutput):
    """Output of [`Kmer2VecForPreTraining`].

    Args:
        loss (`torch.Tensor`, *optional*): Mean over the pairs of -log s(u.v) - sum of log s(-u.n), where labels came.
        pair_logits (`torch.Tensor` of shape `(batch, length, hidden)`): Vectors of the words; there are no logits of a
            vocabulary.
        hidden_states (`tuple`, *optional*): The vectors.
    """

    loss: torch.Tensor | None = None
    pair_logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class Kmer2VecForPreTraining(Kmer2VecPreTrainedModel):
    """Skip-gram or CBOW with negative sampling; the loss of a batch of rows is over all their pairs."""

    accepts_loss_kwargs = False  # the mean is over pairs, which no collator counts

    def __init__(self, config: Kmer2VecConfig):
        super().__init__(config)
        assert config.vocab_size is not None
        self.kmer2vec = Kmer2VecModel(config)
        self.contexts = nn.Embedding(config.vocab_size, config.hidden_size)
        self.contexts.is_context = True  # type: ignore[assignment]
        self.register_buffer("counts", torch.zeros(config.vocab_size, dtype=torch.float32))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        negatives: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Kmer2VecForPreTrainingOutput:
        """Score words against their neighbours.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`): As in [`Kmer2VecModel.forward`].
            attention_mask (`torch.Tensor`, *optional*): As there.
            labels (`torch.Tensor`, *optional*): Asks for the loss; a position of -100 is left out.
            negatives (`torch.LongTensor` of shape `(batch, length, num_negatives)`, *optional*): Words that each
                position is told from, one set for all its neighbours; drawn by default.
            **kwargs: As there.
        """
        assert input_ids is not None
        outputs = self.kmer2vec(input_ids, attention_mask, return_dict=True, **kwargs)
        loss = None
        if labels is not None:
            content = (input_ids >= _NUM_SPECIAL_TOKENS) & (labels != -100)
            content = content if attention_mask is None else content & (attention_mask != 0)
            loss = self._loss(self.kmer2vec.words(input_ids), content, negatives)
        return Kmer2VecForPreTrainingOutput(
            loss=loss, pair_logits=outputs.last_hidden_state, hidden_states=outputs.hidden_states
        )

    def _loss(self, words: torch.Tensor, content: torch.Tensor, negatives: torch.Tensor | None) -> torch.Tensor:
        counts = self._count(words[content])
        if negatives is None:
            drawn = torch.multinomial(counts.pow(_POWER), words.numel() * self.config.num_negatives, replacement=True)
            negatives = drawn.view(*words.shape, -1)
        if self.training and self.config.subsampling:
            share = counts[words] / counts.sum()
            keep = (self.config.subsampling / share.clamp(min=1e-12)).sqrt()
            content = content & (torch.rand(keep.shape, device=keep.device) < keep)
        pairs = self._skipgram if self.config.objective == "skipgram" else self._cbow
        total, number = pairs(words, content, negatives)
        return total / number.clamp(min=1)

    def _count(self, words: torch.Tensor) -> torch.Tensor:
        """Counts of all words seen, these included; kept while training."""
        counts = self.counts + torch.bincount(words, minlength=len(self.counts)).to(self.counts)
        if self.training:
            self.counts.copy_(counts)
        return counts if bool(counts.sum() > 0) else torch.ones_like(counts)

    def _skipgram(
        self, words: torch.Tensor, content: torch.Tensor, negatives: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum of the losses of all pairs (word, neighbour), and their number."""
        inside = self.kmer2vec.word_embeddings(words)
        around, there = self._around(self.contexts(words), content)
        logits, kept = self._bands(inside, content, around, there)
        noise = self._against(inside, negatives) * kept.sum(-1)
        return (nn.functional.softplus(-logits) * kept).sum() + noise.sum(), kept.sum()

    def _around(self, outside: torch.Tensor, content: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Neighbours of each block of places, `(batch, blocks, hidden, block + 2 reach)`, and which are there."""
        reach, length = self.config.window * self.config.step, outside.shape[1]
        behind = reach + -length % _BLOCK
        outside = nn.functional.pad(outside, (0, 0, reach, behind)).unfold(1, _BLOCK + 2 * reach, _BLOCK)
        return outside, nn.functional.pad(content, (reach, behind)).unfold(1, _BLOCK + 2 * reach, _BLOCK)

    def _bands(
        self, inside: torch.Tensor, content: torch.Tensor, around: torch.Tensor, there: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Products of every word with its neighbours and which of them count, both `(batch, length, 2 window)`."""
        length, reach = inside.shape[1], self.config.window * self.config.step
        blocks = nn.functional.pad(inside, (0, 0, 0, -length % _BLOCK)).unflatten(1, (-1, _BLOCK))
        products = blocks @ around  # of a block with all that its places reach: the bands are taken out of it
        away = torch.arange(self.config.step, reach + 1, self.config.step, device=inside.device)
        columns = torch.arange(_BLOCK, device=inside.device)[:, None] + reach + torch.cat([-away.flip(0), away])
        columns = columns.expand(*products.shape[:2], -1, -1)
        kept = there[:, :, None].expand(*products.shape).gather(3, columns).flatten(1, 2)[:, :length]
        return products.gather(3, columns).flatten(1, 2)[:, :length], kept & content[..., None]

    def _cbow(
        self, words: torch.Tensor, content: torch.Tensor, negatives: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same with the mean of the neighbours for the word, and the word for the neighbour."""
        inside = self.kmer2vec.word_embeddings(words) * content[..., None]
        around, number = torch.zeros_like(inside), torch.zeros_like(content, dtype=inside.dtype)
        for distance in self._distances(words.shape[1]):
            around[:, distance:] += inside[:, :-distance]
            around[:, :-distance] += inside[:, distance:]
            number[:, distance:] += content[:, :-distance]
            number[:, :-distance] += content[:, distance:]
        mean = around / number.clamp(min=1)[..., None]
        told = content & (number > 0)
        logits = (mean * self.contexts(words)).sum(-1)
        losses = nn.functional.softplus(-logits) + self._against(mean, negatives)
        return (losses * told).sum(), told.sum()

    def _against(self, vectors: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """-sum of log s(-u.n) over the negatives of each position, `(batch, length)`."""
        logits = torch.einsum("blh,blnh->bln", vectors, self.contexts(negatives))
        return nn.functional.softplus(logits).sum(-1)

    def _distances(self, length: int) -> range:
        return range(self.config.step, min(self.config.window * self.config.step, length - 1) + 1, self.config.step)


class Kmer2VecForSequenceClassification(DnaForRows, Kmer2VecPreTrainedModel):
    """Classifier or regressor of whole sequences on the pooled vectors, which are trained along (as fastDNA's are)."""

    base_class = Kmer2VecModel
