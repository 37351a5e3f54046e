"""What a user sees and can do while a run goes on: progress, a log on disk, and Ctrl-C that loses nothing."""

from __future__ import annotations

import errno
import json
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from transformers import ProgressCallback, TrainerCallback

__all__ = ["ChangeMasking", "EvaluateInOrder", "RunLog", "StopOnInterrupt", "clear_disk_errors"]

_FULL = ("No space left", "os error 28", "File too large", "os error 27", "Disk quota", "PytorchStreamWriter failed")


class RunLog(ProgressCallback):
    """A progress bar with loss and tokens per second (plain lines where stderr is a file), and JSON lines on disk.

    Args:
        path (`Path`): `training_log.jsonl`; appended to, so a resumed run keeps its history.
        title (`str`): Stands before the bar.
    """

    def __init__(self, path: Path, title: str):
        super().__init__()
        self.path = path
        self.title = title
        self._session = f"{time.time():.3f}"
        self._last: tuple[float, int, int] | None = None
        self._began = time.perf_counter()

    def totals(self) -> dict[str, float]:
        """Seconds of training over all sessions of a resumed run, and the median number of tokens per second."""
        if not self.path.is_file():  # another process keeps it
            return {}
        entries = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
        sessions: dict[str, list[float]] = {}
        for entry in entries:
            sessions.setdefault(entry["session"], [float(entry["session"])]).append(entry["clock"])
        speeds = sorted(entry["tokens_per_second"] for entry in entries if "tokens_per_second" in entry)
        totals = {"train_seconds": sum(max(clocks) - min(clocks) for clocks in sessions.values())}
        return totals | ({"tokens_per_second": speeds[len(speeds) // 2]} if speeds else {})

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar."""
        self._began = time.perf_counter()
        self._first_step = state.global_step
        self._last = (self._began, state.global_step, state.num_input_tokens_seen)
        if sys.stderr.isatty():
            super().on_train_begin(args, state, control, **kwargs)
            if self.training_bar is not None:
                self.training_bar.set_description(self.title)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move the bar."""
        if self.training_bar is not None:
            super().on_step_end(args, state, control, **kwargs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the bar."""
        if self.training_bar is not None:
            super().on_train_end(args, state, control, **kwargs)

    def on_prediction_step(
        self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **kwargs: Any
    ) -> None:
        """Move the bar of an evaluation."""
        if sys.stderr.isatty():
            super().on_prediction_step(args, state, control, eval_dataloader=eval_dataloader, **kwargs)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Write the log line and show it."""
        if not state.is_world_process_zero or not logs:
            return
        now = time.perf_counter()
        entry = {"step": state.global_step, "session": self._session, "clock": time.time(), **logs}
        if "loss" in logs and self._last is not None:
            seconds, steps = now - self._last[0], state.global_step - self._last[1]
            tokens = state.num_input_tokens_seen - self._last[2]
            if seconds > 0 and steps > 0:
                entry["steps_per_second"] = steps / seconds
            if seconds > 0 and tokens > 0:
                entry["tokens_per_second"] = tokens / seconds
            self._last = (now, state.global_step, state.num_input_tokens_seen)
        with self.path.open("a", encoding="utf-8") as file:
            known = {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in entry.items()}
            file.write(json.dumps(known) + "\n")
        if self.training_bar is not None and "loss" in logs:
            shown = {"loss": f"{entry['loss']:.4g}"}
            if "tokens_per_second" in entry:
                shown["tokens/s"] = f"{entry['tokens_per_second']:,.0f}"
            self.training_bar.set_postfix(shown)
        elif not sys.stderr.isatty() and any(name.endswith("loss") and name != "train_loss" for name in entry):
            print(self._line(entry, state, now), file=sys.stderr, flush=True)

    def _line(self, entry: dict[str, Any], state: Any, now: float) -> str:
        parts = [f"{self.title}: step {state.global_step}/{state.max_steps}"]
        for name, value in entry.items():
            if name in ("loss", "learning_rate", "grad_norm") or (
                name.startswith(("eval_", "test_")) and "_per_second" not in name and "runtime" not in name
            ):
                parts.append(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}")
        if "tokens_per_second" in entry:
            parts.append(f"{entry['tokens_per_second']:,.0f} tokens/s")
        done = state.global_step - self._first_step
        if "loss" in entry and done > 0:
            left = (now - self._began) / done * (state.max_steps - state.global_step)
            parts.append(f"{left / 60:.1f} min left")
        return ", ".join(parts)


class ChangeMasking(TrainerCallback):
    """Another masking rate from some step on, as virBERT had: batches that a data loader holds ready keep the old one.

    Args:
        masker: Collator with `change_rate`.
        at (`float`): Step; below 1, a share of all steps.
        rate (`float`): The new `mlm_probability`.
    """

    def __init__(self, masker: Any, at: float, rate: float):
        self.masker, self.at, self.rate = masker, at, rate

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A resumed run may be past the step."""
        self.on_step_end(args, state, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Change the rate when it is time."""
        if state.global_step >= (self.at * state.max_steps if self.at < 1 else self.at):
            self.masker.change_rate(self.rate)


class EvaluateInOrder(TrainerCallback):
    """Rows are evaluated in the order of their split; `Trainer` would sort them as it sorts the training rows."""

    def on_train_begin(self, args: Any, state: Any = None, control: Any = None, **kwargs: Any) -> None:
        """The training rows' sampler is made already."""
        args.train_sampling_strategy = "random"


class StopOnInterrupt(TrainerCallback):
    """The first Ctrl-C ends the step, saves a checkpoint and stops; the second one stops at once.

    Use as a context manager around `Trainer.train`; afterwards `KeyboardInterrupt` is raised if it was pressed.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._previous: Any = None

    def __enter__(self) -> StopOnInterrupt:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *error: Any) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
        if self.pressed and error[0] is None:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True
        print("\nstopping after this step; a checkpoint is saved (Ctrl-C again to stop at once)", file=sys.stderr)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Ask for a checkpoint and the end when Ctrl-C was pressed."""
        if self.pressed:
            control.should_save = True
            control.should_training_stop = True
        return control


@contextmanager
def clear_disk_errors(folder: Path) -> Iterator[None]:
    """Turn what the libraries below raise on a full disk into one `OSError` that says how to go on."""
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        if not full and not any(text in str(error) for text in _FULL):
            raise
        raise OSError(
            errno.ENOSPC,
            f"the disk is full (or a size limit was hit) while writing to {folder}; everything up to the last "
            "checkpoint is kept: free some space and run the same command with --resume",
        ) from error
