"""What the engines of a target scan share: opening a network, and jobs that run on all cores and come out in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from transformers import PreTrainedModel

from seqformers.hub.devices import one_thread, pick_device, pick_precision, usable_cores
from seqformers.hub.load import fingerprint_weights, load_model

__all__ = ["Engine"]


class Engine:
    """A network that is open for a scan.

    Args:
        model: Folder, Hub repository, or a model of the family's class.
        family (`str`): Of the network.
        batch_size (`int`, *optional*): Windows a batch.
        threads (`int`, *optional*): Worker threads; by default one a core.
        device (`str`, *optional*): By default a GPU if there is one.
        precision (`str`): `fp32`; `bf16`: matrices are multiplied in it; or `auto`: bf16 where the device has it.

    Attributes:
        weights (`str`): Hash of what was loaded.
        encoder: The processor saved beside the weights, or None.

    Raises:
        ValueError: the folder or repository holds no such network, or an option is out of its range.
    """

    batch_sizes = (256, 65_536)  # on a CPU, elsewhere

    def __init__(
        self,
        model: Any,
        family: str,
        *,
        batch_size: int | None,
        threads: int | None,
        device: str | None,
        precision: str,
    ):
        for name, value in (("threads", threads), ("batch_size", batch_size)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)
        if self.precision == "int8":
            raise ValueError("a scan has no int8: its networks are convolutions, which stay as they are; use bf16")
        if isinstance(model, PreTrainedModel):
            self.model: Any = model.eval()
            self.weights, self.encoder = fingerprint_weights(model), None
        else:
            loaded = load_model(model or family, family=family, device=device)
            self.model, self.weights, self.encoder = loaded.model, loaded.fingerprint, loaded.encoder
        self.model.to(self.device)
        self.threads = threads or usable_cores()
        self.batch_size = batch_size or self.batch_sizes[self.device.type != "cpu"]

    @property
    def chosen_precision(self) -> dict[str, str]:
        """What the fingerprint says of the precision; nothing of fp32."""
        return {} if self.precision == "fp32" else {"precision": self.precision}

    def run(self, jobs: Iterable[Any], work: Callable[[Any], Any]) -> Iterator[tuple[Any, Any]]:
        """Run jobs on the worker threads, a bounded number ahead; each job with its result, in order."""
        waiting: list[tuple[Any, Future]] = []
        with ThreadPoolExecutor(self.threads) as pool, one_thread():
            try:
                for job in jobs:
                    waiting.append((job, pool.submit(work, job)))
                    if len(waiting) > 2 * self.threads:
                        done, future = waiting.pop(0)
                        yield done, future.result()
                while waiting:
                    done, future = waiting.pop(0)
                    yield done, future.result()
            finally:
                for _, future in waiting:
                    future.cancel()
