"""TargetNet (Min et al. 2022): does this microRNA act on this mRNA, from their aligned candidate target sites."""

from __future__ import annotations

from pathlib import Path

__all__ = ["pretrained_folder"]


def pretrained_folder() -> Path:
    """Folder of the weights that come with the package, a complete Hub repository."""
    return Path(__file__).resolve().parent / "pretrained"
