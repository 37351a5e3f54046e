"""Configuration of the pairing-matrix networks."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

__all__ = ["PairCnnConfig"]


@strict
class PairCnnConfig(PreTrainedConfig):
    """Shape of a network that reads which letter of a miRNA faces which letter of a target.

    `kind="diagonal"` sums a vector per miRNA position and pair of letters along every anti-diagonal of the matrix: one
    vector a register, a way in which the two strands can lie side by side. Convolutions over the registers see a bulge
    as a step to the neighbour. It takes targets of any length. `kind="matrix"` is the two-dimensional network of
    miRBind2 over a matrix of fixed size.

    Args:
        kind (`str`, defaults to `"diagonal"`): `"diagonal"` or `"matrix"`.
        max_mirna_length (`int`, defaults to 24): Nucleotides of the miRNA that are read, from its 5' end.
        target_length (`int`, defaults to 50): Columns of the matrix. For `"diagonal"` the length of the windows it
            was trained on; it limits nothing.
        pair_size (`int`, defaults to 64): Width of the vector of a cell.
        target_size (`int`, defaults to 32): `"diagonal"`: filters over the target alone.
        target_kernel_size (`int`, defaults to 21): `"diagonal"`: their width in nucleotides, odd.
        min_overlap (`int`, defaults to 6): `"diagonal"`: cells that a register holds at least.
        channels (`list[int]`, defaults to `[64, 64]`): Filters of each convolution.
        kernel_sizes (`list[int]`, defaults to `[5, 5]`): Their widths; odd for `"diagonal"`.
        num_heads (`int`, defaults to 4): `"diagonal"`: heads of the attention pooling.
        hidden_size (`int`, defaults to 64): Units of the layer before the logit.
        num_members (`int`, defaults to 1): `"diagonal"`: networks in the file whose logits are averaged.
        dropout (`float`, defaults to 0.15): While training.
        pair_rule (`dict[str, float]`, *optional*): How the sites of a whole mRNA make its score: the weights `bias`,
            `sites` and `length` of a logistic rule on the log of the sites' summed odds and of the mRNA's length.

    Examples:
        >>> PairCnnConfig().channels
        [64, 64]
        >>> shape = {"channels": [128, 64, 32], "kernel_sizes": [6, 3, 3], "max_mirna_length": 28}
        >>> PairCnnConfig(kind="matrix", pair_size=8, hidden_size=30, **shape).flat_size
        576
    """

    model_type = "pair_cnn"
    keys_to_ignore_at_inference = ["member_logits"]  # noqa: RUF012

    kind: str = "diagonal"
    max_mirna_length: int = 24
    target_length: int = 50
    pair_size: int = 64
    target_size: int = 32
    target_kernel_size: int = 21
    min_overlap: int = 6
    channels: list[int] | tuple[int, ...] = (64, 64)
    kernel_sizes: list[int] | tuple[int, ...] = (5, 5)
    num_heads: int = 4
    hidden_size: int = 64
    num_members: int = 1
    dropout: float | int = 0.15
    pair_rule: dict[str, float] | None = None

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.channels, self.kernel_sizes = list(self.channels), list(self.kernel_sizes)
        if self.kind not in ("diagonal", "matrix"):
            raise ValueError(f"kind {self.kind!r} is unknown; known: diagonal, matrix")
        if not self.channels or len(self.channels) != len(self.kernel_sizes) or min(self.channels) < 1:
            raise ValueError(
                f"channels and kernel_sizes are of the same convolutions; got {self.channels} and {self.kernel_sizes}"
            )
        if self.pair_rule is not None and set(self.pair_rule) != {"bias", "sites", "length"}:
            raise ValueError(f"pair_rule has the weights bias, sites and length; got {sorted(self.pair_rule)}")
        if self.problem_type == "multi_label_classification":
            raise ValueError("pair_cnn tells targets from non-targets: problem_type cannot be several labels at once")
        if self.num_members < 1:
            raise ValueError(f"num_members must be 1 or more; got {self.num_members}")
        if self.kind == "diagonal":
            if not 1 <= self.min_overlap <= self.max_mirna_length:
                raise ValueError(f"min_overlap must be 1 to {self.max_mirna_length}; got {self.min_overlap}")
            even = [width for width in (*self.kernel_sizes, self.target_kernel_size) if width % 2 == 0]
            if even:
                raise ValueError(f"the widths of a diagonal reader must be odd, so that registers stay; got {even}")
            if self.channels[-1] % self.num_heads:
                raise ValueError(f"{self.channels[-1]} channels cannot be split over {self.num_heads} heads")
        elif self.flat_size < 1:
            raise ValueError(
                f"a matrix of {self.max_mirna_length} x {self.target_length} is too small for {len(self.channels)} "
                "halvings"
            )

    @property
    def flat_size(self) -> int:
        """`"matrix"`: features after the last pooling.

        Each convolution pads by (k-1)//2 on every side, and the pooling after it halves both sides.
        """
        rows, columns = self.max_mirna_length, self.target_length
        for width in self.kernel_sizes:
            less = width - 1 - 2 * ((width - 1) // 2)
            rows, columns = (rows - less) // 2, (columns - less) // 2
        return self.channels[-1] * max(rows, 0) * max(columns, 0)
