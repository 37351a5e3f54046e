"""Weights of the original projects, converted to the classes here.

Adding a converter means adding `seqformers/convert/<name>.py` with `convert(source, output) -> Path` and one row in
`CONVERTERS`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from seqformers.inference.tables import refuse_existing

__all__ = ["CONVERTERS", "convert"]

# Name on the command line -> module, and what its source is.
CONVERTERS: dict[str, tuple[str, str]] = {
    "targetnet": ("seqformers.convert.targetnet", "TargetNet.pt of mswzeus/TargetNet"),
}


def convert(name: str, source: str | Path, output: str | Path, *, overwrite: bool = False) -> Path:
    """Convert published weights into a complete Hub repository of ours.

    Args:
        name (`str`): One of `CONVERTERS`.
        source (`str` or `Path`): File or folder of the original project.
        output (`str` or `Path`): Folder to write.
        overwrite (`bool`): Replace an existing folder.

    Returns:
        `Path`: `output`.

    Raises:
        ValueError: the name is unknown, or the file holds something else.
        FileNotFoundError: there is no such source.
        FileExistsError: the output is there already.
    """
    if name not in CONVERTERS:
        raise ValueError(f"no converter {name!r}; known: {', '.join(sorted(CONVERTERS))}")
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f"no such file: {source} (expected {CONVERTERS[name][1]})")
    refuse_existing(output, overwrite=overwrite)
    return import_module(CONVERTERS[name][0]).convert(source, Path(output))
