"""One training with stock `Trainer`: the log, Ctrl-C, going on from the last whole checkpoint, and the facts of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import Trainer

from seqformers.files import Output
from seqformers.training.arguments import effective_batch_size
from seqformers.training.callbacks import RunLog, StopOnInterrupt
from seqformers.training.learners import Learner

__all__ = ["fit", "last_whole_checkpoint", "refuse_early"]


def fit(
    make_trainer: Callable[[Sequence[Any]], Trainer], folder: Path, title: str, callbacks: Sequence[Any] = ()
) -> tuple[Any, dict[str, Any]]:
    """Train, or go on where a kill ended it.

    Args:
        make_trainer (`Callable`): Callbacks -> a trainer that writes to `folder/checkpoints`.
        folder (`Path`): Of the seed.
        title (`str`): Stands before the progress bar.
        callbacks (`Sequence`): Further ones.

    Returns:
        `tuple`: What was trained (of a learner, itself), and facts: loss, steps, epochs, tokens, seconds.
    """
    log, stop = RunLog(folder / "training_log.jsonl", title), StopOnInterrupt()
    trainer = make_trainer([log, stop, *callbacks])
    checkpoint = last_whole_checkpoint(folder / "checkpoints")
    with stop:
        outcome = trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    trained: Any = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    model = trained.model if isinstance(trained, Learner) else trained
    return trained, {
        "train_loss": outcome.training_loss,
        "steps": outcome.global_step,
        "epochs": trainer.state.epoch,
        "tokens": trainer.state.num_input_tokens_seen or None,
        "best_step": trainer.state.best_global_step,
        "parameters": int(sum(p.numel() for p in model.parameters())),
        "effective_batch_size": effective_batch_size(trainer.args),
        "precision": "bf16" if trainer.args.bf16 else "fp16" if trainer.args.fp16 else "fp32",
        **log.totals(),
    }


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; torn ones (a kill, a full disk) are removed.

    `trainer_state.json` is the last file of a checkpoint, so one that can be read stands for all.
    """
    found = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
    for path in sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
            return path
        except (OSError, ValueError):
            shutil.rmtree(path)
    return None


def refuse_early(output: str | Path, job: str, *, overwrite: bool, resume: bool) -> None:
    """Refuse a folder that is in the way, and an interrupted run, before data are loaded.

    Hours of training are not thrown away because a flag was forgotten.
    """
    with Output(output, job, folder=True, overwrite=overwrite, resume=resume) as folder:
        if folder.partial.exists() and not overwrite and not resume:
            raise FileExistsError(
                f"{folder.partial} holds an interrupted run; pass --resume to go on with it or --overwrite to start "
                "again"
            )
