"""A job by its shards on a Ray cluster: a task a GPU, or a core where there is none, and one table out of all.

For verbs whose rows need more than a record and a model (`ray_engine` is for those that do not). A task that is lost
with its worker is started again and goes on with what it had written. Every machine sees the same files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqformers.files import Output
from seqformers.shards import complete_shards, merge_tables

__all__ = ["run_shards"]

_RETRIES = 3


def run_shards(
    call: Callable[..., Any],
    output: str | Path,
    *,
    address: str | None = None,
    device: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
) -> list[Any]:
    """Run a job as shards on a cluster, and join their tables into what a single run writes, byte for byte.

    Args:
        call (callable): The job; takes `output`, `shard` and `resume`, and can be pickled.
        output (`str` or `Path`): Table to write. The shards lie beside it, in
            `.<name>.shards.partial`, until it is whole.
        address (`str`, *optional*): Of a running cluster (`auto`, `host:port`); by default one is started on this
            machine and ended afterwards.
        device (`str`, *optional*): `cpu` leaves the GPUs of the cluster alone.
        overwrite (`bool`): Replace an existing output once the new one is whole.
        resume (`bool`): Keep the shards of an interrupted run, and a finished output.

    Returns:
        `list`: what the calls returned, in the order of the shards.

    Raises:
        FileExistsError: the output is there, or what lies where the shards go is not ours.
        OSError: another process is writing the same output.
        ConnectionError: there is no cluster at `address`.
        ValueError: what the job refused.
    """
    output = Path(output)
    if output.exists() and not (overwrite or resume):
        raise FileExistsError(f"{output} is there already; --overwrite replaces it, --resume keeps it")
    beside = output.with_name(f".{output.name}.shards")
    with Output(beside, "shards", settings={"table": output.name}, folder=True, resume=resume) as place:
        folder = place.start()
        parts, reports = _on_cluster(call, folder, output.suffix, address, device)
        merge_tables(complete_shards(parts), output, overwrite=overwrite, resume=resume)
        place.discard()
    return reports


def _on_cluster(
    call: Callable[..., Any], folder: Path, suffix: str, address: str | None, device: str | None
) -> tuple[list[Path], list[Any]]:
    """The shards' tables in `folder`, one a GPU or core, and what the calls returned."""
    import ray
    from ray.exceptions import RayError

    started = not ray.is_initialized()
    if started:
        ray.init(address=address, logging_level=logging.ERROR, include_dashboard=False if address is None else None)
    try:
        resources = ray.cluster_resources()
        gpus = 0 if device == "cpu" else int(resources.get("GPU", 0))
        count = max(2, gpus or int(resources.get("CPU", 1)))
        each = {"num_gpus": 1} if gpus else {"num_cpus": 1}
        task = ray.remote(max_retries=_RETRIES, **each)(_run_shard)
        parts = [folder / f"{number}-of-{count}{suffix}" for number in range(1, count + 1)]
        waiting = [task.remote(call, part, f"{number}/{count}") for number, part in enumerate(parts, 1)]
        return parts, ray.get(waiting)
    except RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, (ValueError, OSError)):
            raise cause from None
        raise
    finally:
        if started:
            ray.shutdown()


def _run_shard(call: Callable[..., Any], output: Path, shard: str) -> Any:
    return call(output=output, shard=shard, resume=True)
