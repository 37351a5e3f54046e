"""The end of a run: choose the seed to publish, and write the run folder as a Hub repository with its card."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from seqformers.files import finite, write_json
from seqformers.hub.cards import METRIC_NAMES, render_model_card, write_eval_results
from seqformers.hub.repository import write_model_repository
from seqformers.metrics.intervals import bootstrap_intervals, spread
from seqformers.metrics.registry import greater_is_better
from seqformers.tokenization.portable import save_stock
from seqformers.training.recipe import DataRecipe, Recipe
from seqformers.training.run import Run

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["card_facts", "write_run_folder", "write_weights"]

_PACKAGES = ("seqformers", "torch", "transformers", "datasets", "tokenizers", "accelerate", "numpy", "scikit-learn")
_CPU_WATTS_PER_THREAD = 10.0
_GPU_WATTS = 400.0
# Weights and what describes them: not repeated for the published seed, whose copy is the repository itself.
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json")


def write_run_folder(run: Run, results: list[dict[str, Any]]) -> None:
    """Write weights, encoder, code, portable form, card, `metrics.json` and `.eval_results` of a finished run.

    Args:
        run (`Run`): The run.
        results (`list[dict]`): What training returned, one a seed.
    """
    split, baselines = run.measure_baselines()
    teacher = None if run.teacher is None else _teacher_scores(run)
    if teacher is not None:
        baselines = {"teacher": teacher.get(split, {}), **baselines}
    chosen, why = _choose(run, results)
    folder = run.output / "seeds" / str(chosen["seed"])
    # A kill between removing the seed's copy and finishing: the repository has the weights already.
    model = run.plan.model_class.from_pretrained(folder if (folder / "config.json").is_file() else run.output)
    portable = write_weights(run, model)
    summary = _summary(run, results, chosen["seed"]) | {"baseline_split": split, "baselines": baselines}
    if teacher is not None and run.teacher is not None:
        summary["teacher"] = {"parameters": run.teacher.parameters, "metrics": teacher}
    summary["intervals"] = _intervals(run, chosen["seed"], split)
    facts = _facts(run, model, summary, portable=portable, why=why)
    (run.output / "README.md").write_text(render_model_card(model.config.model_type, facts), encoding="utf-8")
    write_eval_results(run.output, facts)
    for pattern in _WEIGHTS:
        for path in folder.glob(pattern):
            path.unlink()
    for path in run.output.glob("seeds/*/checkpoints"):
        shutil.rmtree(path)
    # Written last: a folder with this file is a finished run.
    write_json(run.output / "metrics.json", finite(summary))


def _teacher_scores(run: Run) -> dict[str, dict[str, float]]:
    """Metrics of what students learnt from, on the splits that they are scored on."""
    assert run.teacher is not None
    alone = replace(run, collate=run.teacher.collate(run.collate, run.table), teacher=None)
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="seqformers-") as scratch:
        trainer = alone.make_trainer(0, Path(scratch), run.teacher.loaded.model, precise=True)
        for split in ("validation", "test"):
            if split in run.table.splits:
                found[split] = alone.score(trainer, split, Path(scratch))[0]
    return found


def _choose(run: Run, results: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """The seed to publish: best on validation, or the first where there is nothing to choose by."""
    name = run.metrics[0]
    scored = [result for result in results if name in result["metrics"].get("validation", {})]
    if len(results) == 1 or not scored:
        return results[0], f"seed {results[0]['seed']}" + ("" if len(results) == 1 else ", the first")
    sign = 1 if greater_is_better(name) else -1
    best = max(scored, key=lambda result: sign * result["metrics"]["validation"][name])
    return best, f"seed {best['seed']}, the best {METRIC_NAMES.get(name, name)} on validation"


def write_weights(run: Run, model: Any) -> bool:
    """Write the repository; return whether the portable form is in it."""
    encoder = run.plan.encoder
    if run.plan.family is not None:
        given = {"tokenizer": encoder} if run.plan.has_tokenizer else {"processor": encoder}
        write_model_repository(run.output, model, **given)
        _name_code_for_other_seeds(run.output)
    else:
        model.save_pretrained(run.output)
        encoder.save_pretrained(run.output)
    if not run.recipe.portable or not hasattr(model, "export_portable"):
        return False
    folder = run.output / "portable"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed while writing it
    try:
        own = hasattr(encoder, "save_portable")
        model.export_portable(folder, tokenizer=encoder if own else None)
        if not own:
            save_stock(encoder, folder)
    except ValueError as error:
        shutil.rmtree(folder, ignore_errors=True)
        run.notes.append(f"No portable form: {error}.")
        return False
    return True


def _name_code_for_other_seeds(output: Path) -> None:
    """`from_pretrained(repo, subfolder="seeds/1")` finds the code at the top once its configuration names it."""
    code = json.loads((output / "config.json").read_text(encoding="utf-8"))["auto_map"]
    for path in output.glob("seeds/*/config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(config | {"auto_map": code}, indent=2) + "\n", encoding="utf-8")


def _summary(run: Run, results: list[dict[str, Any]], published: int) -> dict[str, Any]:
    """`metrics.json`: everything measured, with what made it."""
    metrics: dict[str, Any] = {}
    for split in dict.fromkeys(split for result in results for split in result["metrics"]):
        found = [result["metrics"][split] for result in results if split in result["metrics"]]
        for name in dict.fromkeys(name for values in found for name in values):
            values = [entry[name] for entry in found if name in entry]
            metrics.setdefault(split, {})[name] = spread(values)
    return {
        "task": run.recipe.task,
        "command": run.command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seeds": run.recipe.seeds,
        "published_seed": published,
        "metrics": metrics,
        **({"by_length": _by_length(results)} if run.recipe.length_bins else {}),
        "data": run.table.facts,
        "labels": run.table.task.names,
        "per_seed": results,
        "environment": _environment(run, results),
        "device": _device(),
        "versions": _versions(),
    }


def _by_length(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Split -> bin of lengths -> rows, and the spread of each metric over the seeds."""
    found: dict[str, dict[str, Any]] = {}
    for split, bins in results[0].get("by_length", {}).items():
        for name, first in bins.items():
            entries = [result["by_length"][split].get(name, {}) for result in results]
            values = {key: [entry[key] for entry in entries if key in entry] for key in first if key != "rows"}
            spreads = {key: spread(numbers) for key, numbers in values.items()}
            found.setdefault(split, {})[name] = {"rows": first["rows"], **spreads}
    return found


def _intervals(run: Run, seed: int, split: str) -> dict[str, tuple[float, float]] | None:
    """Bootstrap intervals of the published weights, where there is one prediction a row."""
    path = run.output / "seeds" / str(seed) / f"predictions-{split}.parquet"
    if not path.is_file() or not run.table.task.answers_rows:
        return None
    columns = pq.read_table(path)
    labels = columns.column("label").to_numpy()
    scores = np.stack([columns.column(name).to_numpy() for name in columns.column_names if name != "label"], axis=1)
    if run.table.task.kind == "classification":
        scores = np.log(np.maximum(scores, np.finfo(np.float32).tiny))
    groups = run.table.groups(split)

    def score(drawn: np.ndarray) -> dict[str, float]:
        return run.table.task.score(
            scores[drawn], labels[drawn], run.metrics, None if groups is None else groups[drawn]
        )

    return bootstrap_intervals(score, len(labels))


def _facts(run: Run, model: Any, summary: dict[str, Any], *, portable: bool, why: str) -> dict[str, Any]:
    """What the card says."""
    recipe = run.recipe
    first = summary["per_seed"][0]
    splits = {
        split: {name: value for name, value in values.items() if name != "loss" or recipe.learns != "labels"}
        for split, values in summary["metrics"].items()
    }
    data = {key: value for key, value in run.table.facts.items() if value}
    return {
        "name": recipe.name or run.name,
        "license": recipe.license,
        "auto_class": run.plan.auto_class,
        "input": "tokenizer" if run.plan.has_tokenizer else "processor",
        "portable": portable,
        "base_model": recipe.without_folders().model.from_,
        "summary": recipe.description,
        "parameters": int(sum(p.numel() for p in model.parameters())),
        "architecture": _architecture(model.config),
        "labels": run.table.task.names or None,
        "data": [data],
        "recipe": recipe.without_folders().to_yaml(),
        "command": summary["command"],
        "hyperparameters": _hyperparameters(recipe, first),
        "metrics": splits,
        "intervals": summary["intervals"],
        "seeds": recipe.seeds,
        "published_seed": why,
        "baselines": summary["baselines"],
        "baseline_split": summary["baseline_split"],
        "leakage": _leakage(recipe.data),
        "speed": _speed(first, summary["device"]),
        "environment": summary["environment"],
        "versions": summary["versions"],
        "notes": [*run.notes, *_length_notes(run, summary)] or None,
    }


def _length_notes(run: Run, summary: dict[str, Any]) -> list[str]:
    """The first metric by length of the rows, a line a split."""
    name = run.metrics[0]
    lines = []
    for split, bins in summary.get("by_length", {}).items():
        parts = [f"{part} {values[name]['mean']:.3f} ({values['rows']:,} rows)" for part, values in bins.items()
                 if name in values]  # fmt: skip
        lines.append(f"{METRIC_NAMES.get(name, name)} on {split} by length: {', '.join(parts)}.")
    return lines


def card_facts(run: Run, model: Any, recipe: Recipe, summary: dict[str, Any], *, portable: bool) -> dict[str, Any]:
    """What the card of an encoder with several heads says; their scores stand in the cards of the heads."""
    first = summary["per_seed"][0]
    return {
        "name": recipe.name or run.name,
        "license": recipe.license,
        "auto_class": "AutoModel",
        "input": "tokenizer" if run.plan.has_tokenizer else "processor",
        "portable": portable,
        "base_model": recipe.without_folders().model.from_,
        "summary": recipe.description,
        "parameters": int(sum(p.numel() for p in model.parameters())),
        "architecture": _architecture(model.config),
        "data": [{key: value for key, value in facts.items() if value} for facts in summary["data"].values()],
        "recipe": recipe.without_folders().to_yaml(),
        "command": summary["command"],
        "hyperparameters": _hyperparameters(recipe, first),
        "seeds": recipe.seeds,
        "published_seed": f"seed {recipe.seeds[0]}, the first",
        "environment": _environment(run, summary["per_seed"]),
        "versions": _versions(),
        "notes": [],
    }


def _architecture(config: Any) -> dict[str, Any]:
    names = {
        "num_hidden_layers": "layers",
        "hidden_size": "width",
        "num_attention_heads": "attention_heads",
        "max_position_embeddings": "context_in_tokens",
        "max_chunks": "chunks",
        "k": "k",
        "stride": "stride",
    }
    return {label: getattr(config, name) for name, label in names.items() if getattr(config, name, None) is not None}


def _hyperparameters(recipe: Recipe, result: dict[str, Any]) -> dict[str, Any]:
    training = recipe.training
    names = ("learning_rate", "weight_decay", "warmup_steps", "lr_scheduler_type", "num_train_epochs", "max_steps")
    values = {name: training[name] for name in names if training.get(name) is not None}
    values |= {
        name: result[name]
        for name in ("effective_batch_size", "steps", "best_step", "tokens", "precision", "c")
        if result.get(name) is not None
    }
    return {**values, **{f"masking {name}": value for name, value in recipe.masking.items() if value is not None}}


def _leakage(data: DataRecipe) -> Any:
    """The leakage parts of the report that `build` left beside the data."""
    path = None if data.path is None else Path(data.path) / "report.json"
    if path is None or not path.is_file():
        return None
    report = json.loads(path.read_text(encoding="utf-8"))
    return _flat({key: value for key, value in report.items() if "leakage" in key}) or None


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one level of `a b: number`."""
    if not isinstance(values, dict):
        return {prefix: values} if isinstance(values, int | float | str) else {}
    out: dict[str, Any] = {}
    for key, value in values.items():
        out |= _flat(value, f"{prefix} {key}".strip())
    return out


def _speed(result: dict[str, Any], device: str) -> dict[str, Any]:
    split = "test" if "test_speed" in result else "validation"
    measured = result.get(f"{split}_speed")
    if not measured:
        return {}
    return {
        f"rows_per_second_on_{split}": measured["rows_per_second"],
        "device": device,
        "peak_memory_of_the_run_mb": _peak_memory_mb(),
    }


def _peak_memory_mb() -> int:
    """GPU memory where there is a GPU, else resident memory of the process; training included."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated() // 2**20)
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak // 2**20 if platform.system() == "Darwin" else peak // 2**10)


def _environment(run: Run, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Hours, and what they cost under stated assumptions; nothing here is measured by a meter."""
    hours = sum(result.get("train_seconds", 0.0) for result in results) / 3600
    gpu = torch.cuda.is_available()
    watts = run.recipe.power_watts
    assumed = watts is None
    if watts is None:
        watts = _GPU_WATTS * torch.cuda.device_count() if gpu else _CPU_WATTS_PER_THREAD * torch.get_num_threads()
    energy = hours * watts / 1000
    return {
        "device": _device(),
        "training_hours_all_seeds": round(hours, 4),
        "energy_kwh_estimate": round(energy, 5),
        "co2_kg_estimate": round(energy * run.recipe.co2_kg_per_kwh, 5),
        "assumptions": f"{watts:g} W {'assumed' if assumed else 'given'} for this device, "
        f"{run.recipe.co2_kg_per_kwh:g} kg CO2 per kWh",
    }


def _device() -> str:
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{name}, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
