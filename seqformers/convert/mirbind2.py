"""miRBind2's published checkpoint to a `PairCnnModel` that reads the whole pairing matrix."""

from __future__ import annotations

from pathlib import Path

import torch

from seqformers.convert.weights import Converted, first_tensor, load_into, read_weights
from seqformers.modeling.targets.configuration_pair_cnn import PairCnnConfig
from seqformers.modeling.targets.modeling_pair_cnn import PairCnnModel
from seqformers.modeling.targets.processing_pair_cnn import PairCnnProcessor

__all__ = ["convert"]

_MATRIX = (28, 50)  # nucleotides of the miRNA and of the target; the tensors do not say it
_LETTERS = "ATCG"  # the original's order in its index of pairs
_NAMES = {
    "pair_linear": "pair",
    "conv_layers": "convs",
    "bn_layers": "norms",
    "fc1": "hidden",
    "bn_fc": "hidden_norm",
    "fc2": "classifier",
}
_ORIGINAL = {
    "name": "`models/pairwise_onehot_model` of BioGeMT/miRBind_2.0",
    "url": "https://github.com/BioGeMT/miRBind_2.0",
    "licence": "MIT",
}


def convert(source: Path) -> Converted:
    """Read `pairwise_onehot_model`, `.pt` or `.safetensors`.

    Args:
        source (`Path`): The original's checkpoint.

    Raises:
        ValueError: the file holds no such network.
    """
    state = read_weights(source)
    pair = first_tensor(state, "pair_linear.weight", source, "miRBind2")
    hidden = first_tensor(state, "fc1.weight", source, "miRBind2")
    convs = [state[name] for name in sorted(state) if name.startswith("conv_layers.") and name.endswith(".weight")]
    config = PairCnnConfig(
        kind="matrix",
        max_mirna_length=_MATRIX[0],
        target_length=_MATRIX[1],
        pair_size=pair.shape[0],
        channels=[conv.shape[0] for conv in convs],
        kernel_sizes=[conv.shape[2] for conv in convs],
        hidden_size=hidden.shape[0],
        dropout=0.2,
    )
    return Converted(
        model=load_into(PairCnnModel(config), _renamed(state), source, "miRBind2"),
        name="miRBind2",
        weights=source,
        original=_ORIGINAL,
        processor=PairCnnProcessor(max_mirna_length=_MATRIX[0], target_length=_MATRIX[1]),
        facts={
            "license": "mit",
            "pipeline_tag": "text-classification",
            "tags": ["rna", "mirna", "converted"],
            "example": '"UGAGGUAGUAGGUUGUAUAGUU", "CGCAUUUUCCCUGCCUACCUCACAGAGCUGUUCUGAGGGUGCAUGGAGGA"',
            "summary": "A convolutional network over the 28 x 50 pairing matrix of a miRNA and a stretch of mRNA, "
            "trained by its authors on chimeric eCLIP (Manakov et al. 2022).",
        },
    )


def _renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names of ours; pairs in the order A C G U."""
    order = [_LETTERS.index(letter) for letter in "ACGT"]
    pairs = [4 * row + column for row in order for column in order]
    renamed = {}
    for name, value in state.items():
        part, rest = name.split(".", 1)
        if name == "pair_linear.weight":
            value = value[:, [*pairs, *range(16, value.shape[1])]]
        renamed[f"matrix.{_NAMES.get(part, part)}.{rest}"] = value
    return renamed
