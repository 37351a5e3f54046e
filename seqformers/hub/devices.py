"""Where a model runs, and loading it without a bar and a report for what takes no time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import torch
from threadpoolctl import ThreadpoolController
from transformers.utils import logging

__all__ = ["PRECISIONS", "one_thread", "pick_device", "pick_precision", "quiet_loading", "usable_cores"]

PRECISIONS = ("auto", "fp32", "bf16", "int8")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def pick_device(name: str | None = None) -> torch.device:
    """The device asked for, or a GPU if there is one, or the CPU.

    Args:
        name (`str`, *optional*): `cpu`, `cuda`, `cuda:1`, `mps`, ...

    Returns:
        `torch.device`: one that works here.

    Raises:
        ValueError: there is no such device.

    Examples:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); try cpu") from error
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """What `auto` means on a device: bf16 where it computes with it in hardware, else fp32; other names stay.

    Args:
        name (`str`): One of `PRECISIONS`.
        device (`torch.device`): Where the model runs.

    Raises:
        ValueError: an unknown name, or int8 elsewhere than on a CPU.

    Examples:
        >>> pick_precision("fp32", torch.device("cpu"))
        'fp32'
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, not {name!r}")
    if name == "int8" and device.type != "cpu":
        raise ValueError(f"int8 runs on a CPU, not on {device}; use bf16 there, or --device cpu")
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    in_hardware = device.type == "cpu" and (
        getattr(torch.cpu, "_is_avx512_bf16_supported", bool)() or getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    )
    return "bf16" if in_hardware else "fp32"


def usable_cores() -> int:
    """Cores for a job: what torch would take, but no more than the affinity and the container allow.

    `OMP_NUM_THREADS` and `torch.set_num_threads` say how many; a limit of a control group, which torch does not look
    at, cuts it down.
    """
    cores = torch.get_num_threads()
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    with suppress(OSError, ValueError):
        quota, period = _QUOTA.read_text(encoding="utf-8").split()
        cores = min(cores, math.ceil(int(quota) / int(period)))  # "max" is no number
    return max(1, cores)


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Load weights without a progress bar and without transformers' table of keys; errors still come."""
    showed, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if showed:
            logging.enable_progress_bar()


@contextmanager
def one_thread() -> Iterator[None]:
    """Threads of torch and of numpy's products off.

    What is this small is done before they meet, and callers run several at once.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _thread_pools().limit(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


@cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all loaded libraries, so once
