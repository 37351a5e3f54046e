"""What models share that read a protein from its start and predict the next residue: base, outputs, head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling, CausalLMOutput
from transformers.utils.generic import can_return_tuple

from .modeling_protein_heads import masked_mean_loss, real_tokens

__all__ = ["ProteinCausalOutput", "ProteinForNextResidue", "ProteinStateOutput", "ProteinWithState"]

State = tuple[torch.Tensor, ...]


@dataclass
class ProteinStateOutput(BaseModelOutputWithPooling):
    """Output of a base model whose state can go on.

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch, tokens, representation_size)`): Zero at padding.
        pooler_output (`torch.FloatTensor` of shape `(batch, pooled_size)`, *optional*): One vector a protein.
        hidden_states (`tuple`, *optional*): Embeddings and the states of every layer.
        state (`tuple`, *optional*): Hidden and cell of each layer after the last token, each (batch, width), with
            `use_cache`.
    """

    state: State | None = None


@dataclass
class ProteinCausalOutput(CausalLMOutput):
    """Output of a next-residue model.

    Args:
        loss (`torch.FloatTensor`, *optional*): Mean cross-entropy of the next token, and what the family adds to it
            in training.
        logits (`torch.FloatTensor` of shape `(batch, tokens, vocab_size)`): Of the token behind each.
        hidden_states (`tuple`, *optional*): As in [`ProteinStateOutput`].
        state (`tuple`, *optional*): As there.
    """

    state: State | None = None


class ProteinWithState:
    """`forward` of a base model that reads from the start; goes before the family's `PreTrainedModel`."""

    @can_return_tuple
    def forward(
        self: Any,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        state: State | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> ProteinStateOutput:
        """Represent every token and the protein.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): Token ids, first and last special.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 1 for tokens, 0 for padding on
                either side; with `state` it may cover the tokens before, too.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, embedding_size)`, *optional*): Instead of
                `input_ids`.
            state (`tuple`, *optional*): State after the tokens before these, as this model gave it.
            use_cache (`bool`, *optional*): Whether to give `state`.
            **kwargs: `output_hidden_states`, `return_dict`; others are accepted so that generic callers can pass what
                other models take.

        Returns:
            [`ProteinStateOutput`].

        Raises:
            ValueError: not exactly one input, or several proteins packed into a row.
        """
        if state is None:
            self._refuse_foreign(kwargs)
        embeds = self._embed(input_ids, inputs_embeds)
        if attention_mask is not None and state is not None:
            attention_mask = attention_mask[:, -embeds.shape[1] :]
        mask = real_tokens(embeds, attention_mask)
        layers, after, pooled = self._read(embeds, mask, state, bool(use_cache))
        real = mask[..., None].to(embeds.dtype)
        wanted = self._wants_hidden_states(kwargs)
        return ProteinStateOutput(
            last_hidden_state=layers[-1] * real,
            pooler_output=pooled,
            hidden_states=tuple(each * real for each in (embeds, *layers)) if wanted else None,
            state=after if use_cache else None,
        )


class ProteinForNextResidue:
    """The logits at i are for the token at i + 1; goes before the family's `PreTrainedModel` and `GenerationMixin`.

    `generate` carries the state on, so a token costs the same wherever it stands. Padding goes to the left of prompts.
    """

    _is_stateful = True
    base_class: Any
    base_model_prefix: str

    def __init__(self: Any, config: Any):
        super().__init__(config)  # type: ignore[call-arg]
        setattr(self, self.base_model_prefix, self.base_class(config, add_pooling_layer=False))
        self.lm_head = nn.Linear(config.representation_size, config.vocab_size)
        self.post_init()

    @can_return_tuple
    def forward(
        self: Any,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        state: State | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **kwargs: Any,
    ) -> ProteinCausalOutput:
        """Predict every token from those before it.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): As in the base model.
            attention_mask (`torch.Tensor`, *optional*): As there.
            inputs_embeds (`torch.FloatTensor`, *optional*): As there.
            labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): The input ids, -100 where not to
                predict; they are shifted here.
            state (`tuple`, *optional*): As there.
            use_cache (`bool`, *optional*): As there.
            logits_to_keep (`int`, defaults to 0): Score the last tokens only; 0 for all.
            **kwargs: As there.
        """
        outputs = self.base_model(
            input_ids, attention_mask, inputs_embeds, state=state, use_cache=use_cache, return_dict=True, **kwargs
        )
        hidden = outputs.last_hidden_state
        read = self._before_head(hidden)
        logits = self.lm_head(read[:, -logits_to_keep:])
        loss = None
        if labels is not None:
            loss = masked_mean_loss(logits[:, :-1], labels[:, 1:])
            loss = loss + self._penalty(hidden, read, attention_mask) if self.training else loss
        return ProteinCausalOutput(loss=loss, logits=logits, hidden_states=outputs.hidden_states, state=outputs.state)

    def _before_head(self, hidden: torch.Tensor) -> torch.Tensor:
        """What the head reads of the states."""
        return hidden

    def _penalty(
        self, hidden: torch.Tensor, read: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> torch.Tensor | float:
        """What training adds to the loss."""
        return 0.0

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # there are no keys and values; `state` is what goes on

    def _reorder_cache(self, state: State, beam_idx: torch.Tensor) -> State:
        return tuple(part.index_select(0, beam_idx) for part in state)
