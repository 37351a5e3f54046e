"""Configuration of TargetNet and of its ablations."""

from math import inf

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

__all__ = ["TargetNetConfig"]


@strict
class TargetNetConfig(PreTrainedConfig):
    """Shape of a TargetNet; the defaults are the published model (8,737 parameters).

    Args:
        channels (`list[int]`, defaults to `[16, 16, 32]`): Width of the stem and of the two residual stages.
        num_blocks (`list[int]`, defaults to `[2, 1, 1]`): Convolutions of the stem, blocks of each stage.
        stem_kernel_size (`int`, defaults to 5): Kernel of the stem's convolutions.
        block_kernel_size (`int`, defaults to 3): Kernel of the blocks' convolutions.
        pool_size (`int`, defaults to 3): Width and stride of the max-pooling before the linear layer.
        use_skip (`bool`, defaults to `True`): Add each block's input to its output; `False` is an ablation.
        encode_alignment (`bool`, defaults to `True`): The input holds the drawn alignment (2 x 50 ids of 5 symbols);
            `False` (2 x 40 ids of 4 symbols) is an ablation.
        dropout (`float`, defaults to 0.5): Dropout while training.
        class_weights (`list[float]`, *optional*): Weights of non-targets and targets in the loss, which is then the
            weighted mean.
        double_loss (`bool`, defaults to `False`): Compute the loss in float64, as the original does.

    Examples:
        >>> TargetNetConfig().num_columns
        50
        >>> half = TargetNetConfig(channels=[8, 8, 16])  # the paper's "width x 0.5"
    """

    model_type = "targetnet"
    keys_to_ignore_at_inference = ["site_logits", "best_site", "hidden_states"]  # noqa: RUF012

    channels: list[int] | tuple[int, ...] = (16, 16, 32)
    num_blocks: list[int] | tuple[int, ...] = (2, 1, 1)
    stem_kernel_size: int = 5
    block_kernel_size: int = 3
    pool_size: int = 3
    use_skip: bool = True
    encode_alignment: bool = True
    dropout: float | int = 0.5
    class_weights: list[float] | None = None
    double_loss: bool = False

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.channels, self.num_blocks = list(self.channels), list(self.num_blocks)
        if len(self.channels) != 3 or len(self.num_blocks) != 3 or min(*self.channels, *self.num_blocks) < 1:
            raise ValueError(
                f"channels and num_blocks name stem, stage 1 and stage 2, three positive numbers each; "
                f"got {self.channels} and {self.num_blocks}"
            )
        for name in ("stem_kernel_size", "block_kernel_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, got {self.dropout}")
        weights = self.class_weights
        if weights is not None and (len(weights) != 2 or not all(0 < weight < inf for weight in weights)):
            raise ValueError(f"class_weights must be two positive numbers, non-targets and targets, got {weights}")
        if self.problem_type == "multi_label_classification":
            raise ValueError("TargetNet tells targets from non-targets: problem_type cannot be several labels at once")
        if self.use_skip and not self.channels[0] <= self.channels[1] <= self.channels[2]:
            raise ValueError(f"channels must not fall with use_skip=True, got {self.channels}: a skip only pads zeros")
        if not 1 <= self.pool_size <= self.num_columns:
            raise ValueError(f"pool_size must be 1 to {self.num_columns}; got {self.pool_size}")

    @property
    def num_symbols(self) -> int:
        """Symbols of each of the two rows: A, C, G, U and, with alignment, the gap."""
        return 5 if self.encode_alignment else 4

    @property
    def num_columns(self) -> int:
        """Columns of the encoding."""
        return 50 if self.encode_alignment else 40
