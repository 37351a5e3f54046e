"""Cards of models and Spaces: a Jinja template a family, filled with measured or recorded facts, never with promises.

`render_model_card` writes the `README.md` of a repository: YAML metadata with a `model-index`, then the sections of
`model_cards/_base.md` in the wording of the family's own template. A fact that is not given is reported as not
recorded, so that a card cannot look more complete than the run behind it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import transformers
import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, TemplateNotFound

from seqformers._families import family_of
from seqformers.files import did_you_mean
from seqformers.hub.private import without_folders

__all__ = [
    "CARD_FACTS",
    "METRIC_NAMES",
    "eval_results_yaml",
    "format_number",
    "render_model_card",
    "render_space_card",
    "write_eval_results",
]

CARD_FACTS: dict[str, str] = {
    "name": "Title of the card; also the name in the model-index. Required.",
    "repo_id": "`user/name` on the Hub, used in the loading examples; '.' (this folder) when absent.",
    "license": "Licence of the weights, as the Hub writes it (`apache-2.0`).",
    "license_name": "Name of a licence the Hub has no short name for (then `license` is `other`).",
    "license_link": "Link to that licence.",
    "tags": "Extra tags, a list.",
    "pipeline_tag": "Hub task; guessed from `auto_class` when absent.",
    "base_model": "Path or Hub id of the model that was fine-tuned or probed.",
    "auto_class": "Auto class that loads the published head; `AutoModel` when absent.",
    "input": "`tokenizer` (the default) or `processor`.",
    "example": "One input as Python source: a string, or the arguments of the processor.",
    "usage": "Python source that replaces the body of the first loading example (a converted model's own call).",
    "portable": "True when `portable/` holds the form that stock transformers loads with no code of ours.",
    "summary": "A paragraph: what the model is and what it does. The family template has a default.",
    "intended_use": "A paragraph or list. The family template has a default.",
    "limits": "A paragraph or list, added to the family's own limits.",
    "architecture": "Facts of size: a dict such as `{'layers': 3, 'width': 192}`.",
    "parameters": "Number of weights.",
    "labels": "Class names in the order of the outputs.",
    "original": "Converted weights: dict of `name`, `url`, `licence`, `citation`, `sha256`, `difference` (largest "
    "absolute difference of outputs to the original code).",
    "data": "List of dicts: `name`, `config`, `description`, `splits` (split -> rows), `licence`, `citation`, `url`, "
    "`hub_id` (a data set on the Hub), `task_id`, `fingerprint`.",
    "recipe": "The recipe as YAML text.",
    "hyperparameters": "Dict of what mattered: learning rate, effective batch size, steps ...",
    "command": "The command that made the run.",
    "task_type": "Task of the model-index (`text-classification`).",
    "metrics": "Dict split -> metric -> number, or dict of `mean`, `sd`, `values` (one a seed).",
    "intervals": "Dict metric -> (low, high) of the published weights, 95 % over the rows of `baseline_split`.",
    "tested_on": "Dict split -> name of its data set, for metrics on other data than the training's.",
    "seeds": "The seeds, a list of integers.",
    "published_seed": "The seed whose weights are in the repository, and how it was chosen.",
    "baselines": "Dict baseline -> metric -> number or `mean`/`sd`; measured on the split named by `baseline_split`.",
    "baseline_split": "Split of the comparison; `test` when absent.",
    "leakage": "Text, or dict of what the leakage report measured.",
    "speed": "Dict of inference speed and memory, units in the keys (`sequences_per_second`).",
    "environment": "Dict of what training cost: `hours`, `device`, `energy_kwh`, `co2_kg`, `assumptions` ...",
    "versions": "Dict package -> version.",
    "bibtex": "BibTeX entries to cite, beside the data's.",
    "notes": "Anything else the reader must know: a list.",
}

_DATA_FACTS = (
    "name",
    "config",
    "description",
    "splits",
    "licence",
    "citation",
    "url",
    "hub_id",
    "task_id",
    "fingerprint",
)
_ORIGINAL_FACTS = ("name", "url", "licence", "citation", "sha256", "difference")

METRIC_NAMES = {
    "macro_recall": "macro recall",
    "f1_positive": "F1 (positive class)",
    "f1_macro": "macro F1",
    "macro_precision": "macro precision",
    "mcc": "MCC",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "auroc_within_mirna": "AUROC within miRNAs",
    "auroc_within_group": "AUROC within groups",
    "q3": "Q3",
    "q8": "Q8",
    "q3_per_protein": "Q3 (mean of proteins)",
    "q8_per_protein": "Q8 (mean of proteins)",
    "accuracy_per_protein": "accuracy (mean of proteins)",
    "f1_macro_per_protein": "macro F1 (mean of proteins)",
    "topology": "proteins with all segments right",
    "membrane_mcc": "MCC of membrane residues",
    "segment_precision": "segment precision",
    "segment_recall": "segment recall",
    "segment_f1": "segment F1",
    "auprc": "AUPRC",
    "accuracy": "accuracy",
    "spearman": "Spearman's rho",
    "pearson": "Pearson's r",
    "mse": "mean squared error",
    "mae": "mean absolute error",
    "r2": "R²",
    "loss": "loss",
    "perplexity": "perplexity of masked tokens",
    "collapsed": "collapsed (always one class)",
}

# The Hub's identifier of a metric where it has one.
_HUB_METRICS = {
    "macro_recall": "recall",
    "f1_positive": "f1",
    "f1_macro": "f1",
    "macro_precision": "precision",
    "mcc": "matthews_correlation",
    "auroc": "roc_auc",
    "spearman": "spearmanr",
    "pearson": "pearsonr",
}

_PIPELINES = {
    "AutoModelForMaskedLM": "fill-mask",
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForTokenClassification": "token-classification",
    "AutoModel": "feature-extraction",
}


def render_model_card(model_type: str, facts: Mapping[str, Any]) -> str:
    """Render the card of a model: metadata block and Markdown, parsed back by `huggingface_hub.ModelCard`.

    Args:
        model_type (`str`): Chooses the template `model_cards/<model_type>.md`; `_base.md` where there is none.
        facts (`Mapping[str, Any]`): What is known about this model; the keys are those of `CARD_FACTS`.

    Returns:
        `str`: Text of `README.md`.

    Raises:
        ValueError: an unknown key, no `name`, or facts that do not give a valid card.

    Examples:
        >>> card = render_model_card(
        ...     "kmer_bert", {"name": "tiny", "metrics": {"test": {"mcc": {"mean": 0.5, "sd": 0.1}}}, "seeds": [0, 1]}
        ... )
        >>> from huggingface_hub import ModelCard
        >>> ModelCard(card).data.eval_results[0].metric_value
        0.5
    """
    known = _complete(facts)
    header = _metadata(model_type, known)
    known |= {name: _shown(known[name]) for name in ("summary", "intended_use", "limits", "notes", "leakage")}
    known["base_model"] = known["base_model"] and without_folders(str(known["base_model"]))
    values = [value for split in (known["metrics"] or {}).values() for value in split.values()]
    known["has_spread"] = any(isinstance(value, Mapping) and value.get("sd") is not None for value in values)
    known["model_class"], known["model_home"] = _loader(model_type, known["auto_class"])
    text = _environment().get_template(_template_name(model_type)).render(model_type=model_type, **known)
    text = re.sub(r"\n{3,}", "\n\n", text.strip())
    card = f"---\n{header.to_yaml()}\n---\n\n{text}\n"
    parsed = ModelCard(card)  # what the Hub's own client reads is what counts
    assert parsed.data.to_dict().get("library_name") == "transformers"
    return card


def _loader(model_type: str, auto_class: str) -> tuple[str, str]:
    """Class that loads the head, and the package to import it from: not every head has an Auto class of its own."""
    if hasattr(transformers, auto_class):
        return auto_class, "transformers"
    return family_of(model_type).models.get(auto_class, auto_class), "seqformers"


def eval_results_yaml(facts: Mapping[str, Any]) -> dict[str, str]:
    """The `.eval_results/*.yaml` files of a model: one for each evaluated data set that is on the Hub.

    Args:
        facts (`Mapping[str, Any]`): As for `render_model_card`; a data set without `hub_id` gives no file, because
            the format names data sets by their Hub id.

    Returns:
        `dict[str, str]`: File name -> YAML.
    """
    known = _complete(facts)
    files = {}
    for data in known["data"] or []:
        if not data.get("hub_id"):
            continue
        entries = [
            EvalResultEntry(
                dataset_id=data["hub_id"],
                task_id=data.get("task_id") or f"{data.get('config') or 'default'}-{split}-{metric}",
                value=_mean(value),
                notes=_seed_note(value, known["seeds"]),
            )
            for split, values in (known["metrics"] or {}).items()
            for metric, value in values.items()
            if _is_number(_mean(value))
        ]
        if entries:
            name = data["hub_id"].replace("/", "--") + ".yaml"
            files[name] = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
    return files


def write_eval_results(directory: str | Path, facts: Mapping[str, Any]) -> list[Path]:
    """Write `eval_results_yaml(facts)` under `directory/.eval_results/` and return the paths."""
    folder = Path(directory) / ".eval_results"
    paths = []
    for name, text in eval_results_yaml(facts).items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        paths.append(folder / name)
    return paths


def _complete(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Every fact by name, None where it was not given."""
    known = _fill({key: _cut(value) for key, value in facts.items()}, CARD_FACTS, "a model card")
    known["base_model"] = facts.get("base_model")  # whether it is a place here or on the Hub is still asked
    if not known["name"]:
        raise ValueError("a model card needs the fact 'name'")
    data = known["data"] or []
    data = [data] if isinstance(data, Mapping) else data
    known["data"] = [_fill(entry, _DATA_FACTS, "a data set of a model card") for entry in data]
    if known["original"]:
        known["original"] = _fill(known["original"], _ORIGINAL_FACTS, "the original of a model card")
    known["auto_class"] = known["auto_class"] or "AutoModel"
    known["input"] = known["input"] or "tokenizer"
    known["repo_id"] = known["repo_id"] or "."
    known["baseline_split"] = known["baseline_split"] or "test"
    return known


def _cut(value: Any) -> Any:
    """`value` without the folders of this machine, in whatever it is nested."""
    if isinstance(value, Mapping):
        return {key: _cut(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(entry) for entry in value]
    return without_folders(value) if isinstance(value, str) else value


def _fill(facts: Mapping[str, Any], names: Collection[str], owner: str) -> dict[str, Any]:
    """`facts` with None for what was not given; a key that is not one of `names` is refused."""
    for key in facts:
        if key not in names:
            raise ValueError(f"unknown fact {key!r} for {owner}; {did_you_mean(key, names)}known: {', '.join(names)}")
    return {name: facts.get(name) for name in names}


def _metadata(model_type: str, facts: dict[str, Any]) -> ModelCardData:
    data = facts["data"] or []
    results = _results(facts)
    base = facts["base_model"]
    hub_base = base if base and _is_hub_id(base) else None
    extra = {key: facts[key] for key in ("license_name", "license_link") if facts[key]}
    return ModelCardData(
        license=facts["license"],
        library_name="transformers",
        tags=[
            "seqformers",
            "biology",
            "genomics" if model_type == "kmer_bert" else model_type,
            *(facts["tags"] or []),
        ],
        pipeline_tag=facts["pipeline_tag"] or _PIPELINES.get(facts["auto_class"]),
        base_model=hub_base,
        datasets=[entry["hub_id"] for entry in data if entry.get("hub_id")] or None,
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=facts["name"],
        eval_results=results or None,
        **extra,
    )


def _results(facts: dict[str, Any]) -> list[EvalResult]:
    data = (facts["data"] or [{}])[0]
    own = data.get("name") or "unnamed data"
    config = data.get("config")
    others = facts["tested_on"] or {}
    return [
        EvalResult(
            task_type=facts["task_type"] or _PIPELINES.get(facts["auto_class"]) or "other",
            dataset_type=others.get(split) or data.get("hub_id") or own,
            dataset_name=others.get(split) or (f"{own} ({config})" if config else own),
            dataset_config=None if split in others else config,
            dataset_split=split,
            metric_type=_HUB_METRICS.get(metric, metric),
            metric_name=METRIC_NAMES.get(metric, metric) + _seed_suffix(value, facts["seeds"]),
            metric_value=round(float(_mean(value)), 6),
        )
        for split, values in (facts["metrics"] or {}).items()
        for metric, value in values.items()
        if _is_number(_mean(value))
    ]


def _mean(value: Any) -> Any:
    return value.get("mean") if isinstance(value, Mapping) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_hub_id(name: str) -> bool:
    """`user/name`, and not a path of the machine the run was made on."""
    return str(name).count("/") == 1 and not str(name).startswith((".", "/", "~")) and not Path(name).exists()


def _seed_note(value: Any, seeds: Sequence[int] | None) -> str | None:
    if isinstance(value, Mapping) and value.get("sd") is not None:
        return f"mean of {len(value.get('values') or seeds or [])} seeds, sd {value['sd']:.4g}"
    return None


def _seed_suffix(value: Any, seeds: Sequence[int] | None) -> str:
    note = _seed_note(value, seeds)
    return f" ({note})" if note else ""


def render_space_card(title: str) -> str:
    """Render the card of a Space: what the Hub needs to start it, and how to start it at home."""
    header = {"title": title, "emoji": "🧬", "sdk": "gradio", "sdk_version": _gradio(), "app_file": "app.py"}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in header.items()]
    text = f"""# {_line(title)}

Takes pasted or dropped FASTA and answers on the CPU; the model and its card are in `model/`.
Start it at home with `pip install gradio -r requirements.txt` and `python app.py`.
"""
    return "\n".join(["---", *lines, "tags: [seqformers, biology]", "---", "", text])


def _gradio() -> str:
    try:
        return version("gradio")
    except PackageNotFoundError:  # writing a Space does not need it
        return "6.31.0"


def _template_name(model_type: str) -> str:
    name = f"{model_type}.md"
    try:
        _environment().get_template(name)
    except TemplateNotFound:
        return "_base.md"
    return name


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("seqformers.model_cards", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=format_number, cell=_line, line=_line, text=_text, code=_code, fenced=_fenced)
    environment.filters["metric"] = lambda name: METRIC_NAMES.get(name) or _line(str(name).replace("_", " "))
    environment.filters["words"] = lambda key: str(key).replace("_", " ")
    return environment


def format_number(value: Any) -> str:
    """A number as cards and tables show it.

    Examples:
        >>> format_number(0.83123), format_number({"mean": 0.83123, "sd": 0.004}), format_number(12345)
        ('0.8312', '0.8312 ± 0.004', '12,345')
    """
    if isinstance(value, Mapping):
        mean, sd = value.get("mean"), value.get("sd")
        if mean is None:
            return ", ".join(f"{key}: {format_number(entry)}" for key, entry in value.items())
        return f"{mean:.4g} ± {sd:.2g}" if sd is not None else f"{mean:.4g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ", ".join(map(format_number, value)) if isinstance(value, list | tuple) else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _line(value: Any) -> str:
    """A value on one line of Markdown, in a table too: what would be HTML, a link, code or the end of a row is not."""
    text = " ".join(format_number(value).split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\|`\[\]])", r"\\\1", text)


def _text(value: Any) -> str:
    """A text of its author's in Markdown, in which tags of HTML are words and code ends."""
    text = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", str(value))
    return f"{text}\n```" if len(re.findall(r"^```", text, re.MULTILINE)) % 2 else text


def _shown(value: Any) -> Any:
    """Texts as [`_text`], in a list too; anything else as it is."""
    if isinstance(value, list | tuple):
        return [_shown(entry) for entry in value]
    return _text(value) if isinstance(value, str) else value


def _code(value: Any) -> str:
    """A value between backticks."""
    return " ".join(str(value).split()).replace("`", "'")


def _fenced(value: Any, language: str) -> str:
    """A block of code, in a fence longer than any inside."""
    text = str(value).strip()
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
