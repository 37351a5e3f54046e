"""How many tokens a model has places for."""

from __future__ import annotations

from typing import Any

__all__ = ["max_tokens"]

# Their positions start behind the number of the padding token, so that many rows of the table are never used.
_COUNT_FROM_PADDING = frozenset({"camembert", "ibert", "longformer", "mpnet", "roberta", "xlm-roberta", "xmod"})


def max_tokens(config: Any) -> int | None:
    """Tokens that an input may have, special ones included; None where nothing in the model counts them.

    Args:
        config (`PreTrainedConfig`): Of any model.

    Examples:
        >>> from transformers import BertConfig, RobertaConfig
        >>> max_tokens(BertConfig()), max_tokens(RobertaConfig(max_position_embeddings=514, pad_token_id=1))
        (512, 512)
    """
    places = getattr(config, "max_position_embeddings", None)
    if not places:
        return None
    absolute = getattr(config, "position_embedding_type", None) == "absolute"
    if config.model_type in _COUNT_FROM_PADDING or (config.model_type == "esm" and absolute):
        places -= (config.pad_token_id or 0) + 1
    return int(places)
