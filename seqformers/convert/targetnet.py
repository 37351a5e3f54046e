"""TargetNet's published checkpoint (a state dict) to `TargetNetModel`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqformers.convert.weights import Converted, load_into, read_weights
from seqformers.modeling.targets.configuration_targetnet import TargetNetConfig
from seqformers.modeling.targets.modeling_targetnet import TargetNetModel
from seqformers.modeling.targets.processing_targetnet import TargetNetProcessor

__all__ = ["convert"]

_PARTS = ("stem", "stage1", "stage2")
_ORIGINAL = {
    "name": "TargetNet.pt of mswzeus/TargetNet",
    "url": "https://github.com/mswzeus/TargetNet",
    "licence": "MIT",
}


def convert(source: Path) -> Converted:
    """Read `TargetNet.pt`.

    Args:
        source (`Path`): The original's `torch.save`d state dict.

    Raises:
        ValueError: the file is no TargetNet state dict.
    """
    state = read_weights(source)
    model = TargetNetModel(TargetNetConfig(**_shape(state, source)))
    return Converted(
        model=load_into(model, _renamed(state), source, "TargetNet"),
        name="TargetNet",
        weights=source,
        original=_ORIGINAL,
        processor=TargetNetProcessor(),
        facts={
            "license": "mit",
            "pipeline_tag": "text-classification",
            "tags": ["rna", "mirna", "converted"],
            "example": '"UGAGGUAGUAGGUUGUAUAGUU", "A" * 25 + "CUACCUCA" + "G" * 10',
        },
    )


def _shape(state: dict[str, Any], source: Path) -> dict[str, Any]:
    """Read the configuration from the shapes."""
    try:
        stem = state["stem.0.conv.1.weight"].shape
        first = state["stage1.0.conv1.1.weight"].shape
        second = state["stage2.0.conv1.1.weight"].shape
        columns = state["linear.weight"].shape[1] // second[0]
    except KeyError as error:
        raise ValueError(f"{source} holds no TargetNet weights (stem, stage1, stage2, linear)") from error
    return {
        "channels": [stem[0], first[0], second[0]],
        "num_blocks": [len({key.split(".")[1] for key in state if key.startswith(f"{part}.")}) for part in _PARTS],
        "stem_kernel_size": stem[2],
        "block_kernel_size": first[2],
        "encode_alignment": stem[1] == 10,
        "pool_size": (50 if stem[1] == 10 else 40) // columns,
    }


def _renamed(state: dict[str, Any]) -> dict[str, Any]:
    first = len({key.split(".")[1] for key in state if key.startswith("stage1.")})
    renamed = {}
    for key, value in state.items():
        part, number, *rest = key.split(".")
        if part == "linear":
            renamed[f"classifier.{number}"] = value
        elif part == "stem":
            renamed[f"stem.convs.{number}.weight"] = value
        else:
            block = int(number) + (first if part == "stage2" else 0)
            renamed[f"blocks.{block}.{rest[0]}.weight"] = value
    return renamed
