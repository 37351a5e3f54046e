"""Where a model runs, and loading it without a bar and a report for what takes no time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.utils import logging

__all__ = ["one_thread", "pick_device", "quiet_loading"]


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
    """Torch's own threads off: a network this small is done before they meet, and callers run several at once."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
