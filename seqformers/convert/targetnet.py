"""TargetNet's published checkpoint (a state dict) to `TargetNetModel`."""

from __future__ import annotations

import pickle
from pathlib import Path

__all__ = ["convert"]

_CARD = """---
library_name: transformers
license: mit
pipeline_tag: text-classification
tags: [biology, rna, mirna, targetnet]
---

# TargetNet, published weights

Converted from `TargetNet.pt` of [mswzeus/TargetNet](https://github.com/mswzeus/TargetNet) (MIT): Min, Lee, Yoon,
"TargetNet: functional microRNA target prediction with deep neural networks", Bioinformatics 2022.

```bash
seqformers scan-targets --model THIS_FOLDER --mirna mirnas.fa --mrna utrs.fa --output targets.tsv
```
"""


def convert(source: Path, output: Path) -> Path:
    """Convert `TargetNet.pt`.

    Args:
        source (`Path`): The original's `torch.save`d state dict; read as data only, never unpickled as code.
        output (`Path`): Folder of the Hub repository to write.

    Returns:
        `Path`: `output`.

    Raises:
        ValueError: the file is no TargetNet state dict.
    """
    import torch

    from seqformers.hub.repository import write_model_repository
    from seqformers.modeling.targets.configuration_targetnet import TargetNetConfig
    from seqformers.modeling.targets.modeling_targetnet import TargetNetModel
    from seqformers.modeling.targets.processing_targetnet import TargetNetProcessor

    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{source} is no PyTorch state dict: {reason}") from error
    config = TargetNetConfig(**_shape(state, source))
    model = TargetNetModel(config)
    model.load_state_dict(_rename(state))
    return write_model_repository(output, model.eval(), processor=TargetNetProcessor(), card=_CARD)


def _shape(state: dict, source: Path) -> dict:
    """Read the configuration from the shapes."""
    try:
        stem = state["stem.0.conv.1.weight"].shape
        first = state["stage1.0.conv1.1.weight"].shape
        second = state["stage2.0.conv1.1.weight"].shape
        columns = state["linear.weight"].shape[1] // second[0]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{source} holds no TargetNet weights (stem, stage1, stage2, linear)") from error
    return {
        "channels": [stem[0], first[0], second[0]],
        "num_blocks": [len({key.split(".")[1] for key in state if key.startswith(f"{part}.")}) for part in _PARTS],
        "stem_kernel_size": stem[2],
        "block_kernel_size": first[2],
        "encode_alignment": stem[1] == 10,
        "pool_size": (50 if stem[1] == 10 else 40) // columns,
    }


_PARTS = ("stem", "stage1", "stage2")


def _rename(state: dict) -> dict:
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
