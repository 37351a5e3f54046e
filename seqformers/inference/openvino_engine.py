"""The same answers by OpenVINO, which runs a model's graph faster on a CPU than torch does (extra `[openvino]`)."""

from __future__ import annotations

import threading
import warnings
from types import SimpleNamespace
from typing import Any

import torch

from seqformers.hub.devices import usable_cores
from seqformers.hub.load import Loaded

__all__ = ["CompiledModel"]


class _Plain(torch.nn.Module):
    """A model that takes its inputs by place and gives one tensor, as a graph does."""

    def __init__(self, model: Any, names: list[str], output: str):
        super().__init__()
        self.model, self.names, self.output = model, names, output

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return getattr(self.model(**dict(zip(self.names, values, strict=True))), self.output)


class CompiledModel:
    """A model compiled for the CPU; called like the model, from several threads.

    A call gives what the head is for: `logits` of a classifier or regressor, else `last_hidden_state`.

    Args:
        loaded (`Loaded`): A model of precision fp32 or bf16 on the CPU.

    Raises:
        ValueError: OpenVINO is not installed, the model is not on a CPU or in int8, or it cannot be compiled.
    """

    def __init__(self, loaded: Loaded):
        try:
            import openvino
        except ImportError as error:
            raise ValueError("--engine openvino needs OpenVINO: pip install 'seqformers[openvino]'") from error
        if loaded.device.type != "cpu" or loaded.precision == "int8":
            raise ValueError("--engine openvino runs on a CPU, in fp32 or bf16")
        self.device = loaded.device
        scores = type(loaded.model).__name__.endswith("ForSequenceClassification")
        self._output = "logits" if scores else "last_hidden_state"
        text = {"protein": "MK" * 8}.get(loaded.reading.molecule or "", "ACGT" * 8)
        example = dict(loaded.encoder([text, text[:12]], padding=True, return_tensors="pt"))
        self._names = list(example)
        plain = _Plain(loaded.model, self._names, self._output).eval()
        cores = usable_cores()
        try:
            with warnings.catch_warnings(), torch.inference_mode():
                warnings.simplefilter("ignore")  # of the tracer
                graph = openvino.convert_model(plain, example_input=tuple(example.values()))
            options = {
                "INFERENCE_PRECISION_HINT": "bf16" if loaded.precision == "bf16" else "f32",
                "INFERENCE_NUM_THREADS": cores,
                "NUM_STREAMS": cores,  # a core a batch, as everywhere here
            }
            self._compiled = openvino.Core().compile_model(graph, "CPU", options)
        except Exception as error:  # whatever a graph holds that it does not know
            why = " ".join(str(error).split())[:300]
            raise ValueError(f"OpenVINO cannot compile {loaded.name} ({why}); leave --engine at local") from error
        self._requests = threading.local()

    def __call__(self, **batch: Any) -> Any:
        """Run a batch of the inputs that the model's tokenizer makes."""
        if batch.keys() != set(self._names):
            raise ValueError(f"--engine openvino gives the last layer only, of {', '.join(self._names)}")
        request = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._compiled.create_infer_request()
        found = request.infer([batch[name].numpy() for name in self._names])[0]
        return SimpleNamespace(**{self._output: torch.from_numpy(found.copy())})
