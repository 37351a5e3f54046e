"""The models that come with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from seqformers._families import family_of

__all__ = ["PACKAGED", "packaged_model"]

PACKAGED = ("targetnet", "deepcpf1")


def packaged_model(family: str) -> Path:
    """Folder of the model of a family in the package: a Hub repository but for the code, which the package has.

    Args:
        family (`str`): One of `PACKAGED`.

    Examples:
        >>> (packaged_model("deepcpf1") / "model.safetensors").is_file()
        True
    """
    assert family in PACKAGED, family
    return Path(str(files("seqformers.modeling"))) / family_of(family).room / "pretrained" / family
