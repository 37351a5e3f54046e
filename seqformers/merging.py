"""Join the shards of an array job into what a single run writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seqformers.shards import complete_shards, merge_tables

__all__ = ["merge"]


def merge(shards: Sequence[str | Path], output: str | Path, *, overwrite: bool = False, resume: bool = False) -> Path:
    """Join what runs of one call with `shard="1/n"` to `shard="n/n"` wrote, byte for byte as a single run writes it.

    Args:
        shards (sequence of `str` or `Path`): The outputs of all shards, in any order, each with its record beside it
            (`.<name>.seqformers.json`), or the folders of a build.
        output (`str` or `Path`): Where the whole goes; `resume` and further work treat it as the single run's.
        overwrite (`bool`): Replace an existing output once the new one is whole.
        resume (`bool`): Keep a finished output of the same job.

    Returns:
        `Path`: `output`.

    Raises:
        FileNotFoundError: a shard is not there, or not finished.
        FileExistsError: the output is there.
        ValueError: shards of different jobs, models, inputs or options; one that is missing, there twice, or was
            changed; another format.
    """
    found = complete_shards(shards)
    if found[0].job == "build":
        from seqformers.datasets import merge_builds  # loads what a table needs nothing of

        return merge_builds(found, output, overwrite=overwrite, resume=resume)
    return merge_tables(found, output, overwrite=overwrite, resume=resume)
