"""The one way to load a model: find its folder, check what is in it, and put it on its device.

A folder is looked at before anything of it is used: what is missing, torn, of another shape or not a number is one
line that names file and field, and no other answer comes out in silence.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError, safe_open

from seqformers._families import class_named, family_of
from seqformers.files import fingerprint
from seqformers.hub.devices import pick_device, pick_precision, quiet_loading
from seqformers.hub.download import fetch_repository
from seqformers.tokenization.reading import Reading, reading_of
from seqformers.tokenization.spaced import read_letter_by_letter

__all__ = [
    "PACKAGED",
    "Loaded",
    "fingerprint_model",
    "fingerprint_weights",
    "load_model",
    "model_folder",
    "packaged_model",
    "quantized",
    "read_config",
]

# Models of the package, and the family of each.
PACKAGED = {
    "targetnet": "targetnet", "deepcpf1": "deepcpf1", "pair_cnn": "pair_cnn", "protein_cnn": "protein_cnn",
    "coding_profile": "coding_profile", "genome_encoder": "coding_profile",
}  # fmt: skip
_CALLED = {
    "phage": "coding_profile",
    "protein": "protein_cnn",
    "genome": "genome_encoder",
}  # what people call a packaged model
OWN_COMMANDS = {"pair_cnn": "scan-targets", "targetnet": "scan-targets", "deepcpf1": "score-guides"}

# Numbers a model is built with, at least 1; a word or a negative number there builds another model without a word.
_COUNTS = (
    "hidden_size", "intermediate_size", "k", "max_chunks", "max_position_embeddings", "num_attention_heads",
    "num_hidden_layers", "num_labels", "read_length", "stride", "vocab_size",
)  # fmt: skip
_ENCODER_FILES = ("tokenizer_config.json", "tokenizer.json", "processor_config.json")
_UNUSED_WITHOUT_HEAD = re.compile(r"(^|\.)pooler\.")


@dataclass
class Loaded:
    """A model ready to answer.

    Args:
        model (`PreTrainedModel`): In evaluation mode, on `device`.
        encoder (`PreTrainedTokenizerBase` or `ProcessorMixin`): What turns its input into a batch; None where the
            folder has neither (weights alone).
        config (`PreTrainedConfig`): The model's.
        folder (`Path`, *optional*): Where it was loaded from.
        device (`torch.device`): Where it runs.
        name (`str`): What the user called it.
        precision (`str`): What its matrices are multiplied in: `fp32`; `bf16` (weights and sums stay fp32); or `int8`.
        compiled (callable, *optional*): What runs in place of `model` where no double precision is asked for.
    """

    model: Any
    encoder: Any
    config: Any
    folder: Path | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    name: str = "this model"
    precision: str = "fp32"
    compiled: Any = None

    @cached_property
    def fingerprint(self) -> str:
        """What tells this model from others in the settings of an output; see `fingerprint_model`."""
        assert self.folder is not None, "a model that lies nowhere"
        return fingerprint_model(self.folder)

    @cached_property
    def reading(self) -> Reading:
        """What its tokenizer reads."""
        return reading_of(self.encoder, self.config)

    @cached_property
    def exact(self) -> Any:
        """The model in double precision, beside the other one; on the CPU where its device knows none."""
        place = torch.device("cpu") if self.device.type == "mps" else self.device
        return copy.deepcopy(self.model).to(place).double().eval()


def packaged_model(name: str) -> Path:
    """Folder of a model in the package: a Hub repository but for the code, which the package has.

    Args:
        name (`str`): One of `PACKAGED`.

    Examples:
        >>> (packaged_model("deepcpf1") / "model.safetensors").is_file()
        True
    """
    assert name in PACKAGED, name
    return Path(str(files("seqformers.modeling"))) / family_of(PACKAGED[name]).room / "pretrained" / name


def model_folder(run: str | Path) -> Path:
    """The folder of a model, local, of the package, or fetched from the Hub; its `config.json` is checked.

    Args:
        run (`str` or `Path`): Run folder, one of `PACKAGED`, or `owner/name` on the Hub.

    Raises:
        FileNotFoundError: there is neither such a folder nor such a repository.
        ValueError: it holds no model, or `config.json` is not what it should be; the message names file and field.
        OSError: the Hub cannot be reached.
    """
    known = _CALLED.get(str(run), str(run))
    packaged = known in PACKAGED and not Path(run).exists()
    folder = packaged_model(known) if packaged else fetch_repository(run)
    read_config(folder, name=run)
    return folder


def fingerprint_model(folder: Path) -> str:
    """A hash of what decides a model's answers: weights, configuration, tokenizer; not of cards and names."""
    known = [path for pattern in ("*.safetensors", "*.bin") for path in folder.glob(pattern)]
    known += [folder / name for name in ("config.json", "calibration.json", *_ENCODER_FILES, "vocab.txt")]
    found = [fingerprint(path) for path in sorted(known) if path.is_file()]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


def read_config(folder: Path, *, name: str | Path | None = None) -> dict[str, Any]:
    """The checked `config.json` of a folder.

    Args:
        folder (`Path`): Where it lies.
        name (`str` or `Path`, *optional*): What the user called the folder.

    Raises:
        ValueError: it is missing, is no JSON object, has no `model_type`, or a field has an impossible value.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{name or folder} is not a run folder: it holds no config.json (did its training finish?)")
    config = _read_object(path)
    if not isinstance(config.get("model_type"), str) or not config["model_type"]:
        raise ValueError(f"{path}: model_type is {config.get('model_type')!r}; expected the name of a model family")
    if not isinstance(config.get("auto_map", {}), dict):
        raise ValueError(f"{path}: auto_map is {config['auto_map']!r}; take it out, or name the code of each class")
    for key in _COUNTS:
        value = config.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ValueError(f"{path}: {key} is {value!r}; expected a whole number from 1 on")
    return config


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no JSON ({error}); copy or fetch the model again") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a {type(value).__name__}; expected a JSON object")
    return value


def load_model(
    run: str | Path,
    auto_class: str | None = "AutoModel",
    *,
    family: str | None = None,
    device: str | None = None,
    precision: str = "fp32",
) -> Loaded:
    """Load a model with its tokenizer or processor, without bars and reports.

    Args:
        run (`str` or `Path`): Run folder, one of `PACKAGED`, or `owner/name` on the Hub.
        auto_class (`str`, *optional*): `AutoModelForSequenceClassification`, `AutoModel` (any head; only the encoder
            is used), ...; None for the head it was saved with.
        family (`str`, *optional*): Only a model of this family will do; without it, families that have a command of
            their own are refused by its name.
        device (`str`, *optional*): Default: a GPU when there is one.
        precision (`str`): `fp32`; `bf16`; `int8` (CPU); or `auto`: bf16 where the device has it in hardware.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: it is of another family, lacks a trained head, its files are missing, torn or do not fit each
            other, or a weight is not a number.
    """
    folder = model_folder(run)
    kind = read_config(folder)["model_type"]
    _refuse_other_family(run, kind, family)
    place = pick_device(device)
    config = _load_config(folder)
    encoder = _load_encoder(folder, needed=family is None)
    model = _load_weights(folder, auto_class, config, run)
    _refuse_other_tokens(folder, model.config, encoder)
    model = model.eval().to(place)
    chosen = pick_precision(precision, place)
    if chosen != "fp32" and any(isinstance(part, torch.nn.RNNBase) for part in model.modules()):
        if precision != "auto":
            raise ValueError(f"{run} is a recurrent model, which loses too much in {precision}; leave it at fp32")
        chosen = "fp32"
    if chosen == "int8":
        model = quantized(model)
    return Loaded(model, encoder, model.config, folder, place, str(run), chosen)


def quantized(model: Any) -> Any:
    """The model with linear layers in int8; torch says to use another package for what has worked for years here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)


def _refuse_other_family(run: str | Path, kind: str, family: str | None) -> None:
    if family is None and kind in OWN_COMMANDS:
        raise ValueError(
            f"{run} is a {kind} model, with a command of its own: seqformers {OWN_COMMANDS[kind]} --model {run}"
        )
    if family is not None and kind != family:
        what = f"{OWN_COMMANDS[family]} needs" if family in OWN_COMMANDS else "this needs"
        raise ValueError(f"{run} is a {kind} model; {what} a {family} model")


def _load_encoder(folder: Path, *, needed: bool) -> Any:
    if not any((folder / name).is_file() for name in _ENCODER_FILES):
        if not needed:
            return None
        raise ValueError(
            f"{folder} holds no tokenizer: {_ENCODER_FILES[0]} is missing; copy it from where the model was trained"
        )
    for name in _ENCODER_FILES:
        if (folder / name).is_file():
            _read_object(folder / name)
    auto = transformers.AutoProcessor if (folder / _ENCODER_FILES[2]).is_file() else transformers.AutoTokenizer
    try:
        with quiet_loading():
            return read_letter_by_letter(auto.from_pretrained(folder, trust_remote_code=False))
    except Exception as error:  # whatever a torn file makes the readers raise
        raise ValueError(f"the tokenizer or processor in {folder} cannot be loaded: {_line(error)}") from error


def _load_config(folder: Path) -> Any:
    kind = read_config(folder)["model_type"]
    if kind not in transformers.CONFIG_MAPPING:
        raise ValueError(f"{folder / 'config.json'}: model_type {kind!r} is known neither here nor to transformers")
    try:
        with quiet_loading():
            return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # each family checks its fields in its own way
        raise ValueError(f"{folder / 'config.json'}: {_line(error)}") from error


def _load_weights(folder: Path, auto_class: str | None, config: Any, run: str | Path) -> Any:
    _refuse_torn_weights(folder)
    try:
        auto = getattr(transformers, auto_class) if auto_class else _saved_with(config)
        with quiet_loading():
            model, info = auto.from_pretrained(
                folder, config=config, output_loading_info=True, ignore_mismatched_sizes=True, trust_remote_code=False
            )
    except Exception as error:  # whatever a model of impossible sizes, or a missing file, makes torch raise
        raise ValueError(f"the model in {folder} cannot be built: {_line(error)}") from error
    _refuse_misfit(folder, auto_class, model, info, run)
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(f"{_weight_file(folder)}: {name} holds values that are no numbers (NaN or infinite)")
    return model


def _saved_with(config: Any) -> Any:
    """The class of the head a model was saved with; some heads here have no Auto class in transformers."""
    head = (getattr(config, "architectures", None) or ["Model"])[0]
    ours = class_named(head)
    if ours is not None:
        return ours
    name = f"AutoModelFor{head.partition('For')[2]}" if "For" in head else "AutoModel"
    name = "AutoModelForCausalLM" if head.endswith("LMHeadModel") else name
    return getattr(transformers, name, transformers.AutoModel)


def _refuse_torn_weights(folder: Path) -> None:
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise ValueError(
                f"{path} cannot be read, it is cut short or damaged ({_line(error)}); copy it again"
            ) from error


def _refuse_misfit(folder: Path, auto_class: str | None, model: Any, info: Any, run: str | Path) -> None:
    """Refuse weights that are not those of the model that `config.json` describes."""
    weights = _weight_file(folder)
    for name, found, expected in sorted(info["mismatched_keys"]):
        raise ValueError(
            f"{weights}: {name} has shape {list(found)}, but config.json makes it {list(expected)}; the two do not "
            "belong together"
        )
    missing = sorted(name for name in info["missing_keys"] if not _UNUSED_WITHOUT_HEAD.search(name))
    prefix = f"{model.base_model_prefix}."
    head = [name for name in missing if not name.startswith(prefix)]
    if head and auto_class != "AutoModel" and len(head) == len(missing):
        if str((read_config(folder).get("architectures") or [""])[0]).endswith("ForContactPrediction"):
            raise ValueError(f"{run} predicts contacts: seqformers explain {run} FASTA --method contacts -o FOLDER")
        raise ValueError(
            f"{run} has no trained head for this: {', '.join(head[:3])} are missing from its weights; fine-tune it "
            "first (seqformers finetune) and pass that run"
        )
    if missing:
        raise ValueError(
            f"{weights} lacks {missing[0]}, which config.json asks for; the two do not belong together"
            f"{_own_code(folder)}"
        )
    layers = {re.sub(r"\.\d+\.", ".#.", name) for name in model.state_dict()}
    for name in sorted(info["unexpected_keys"]):
        inner = name.removeprefix(prefix)
        if re.search(r"\.\d+\.", name) and {re.sub(r"\.\d+\.", ".#.", form) for form in (name, inner)} & layers:
            raise ValueError(
                f"{weights} holds {name}, a layer that config.json leaves out; they do not belong together"
            )


def _own_code(folder: Path) -> str:
    """What is to be said of a repository whose weights are for code that it brings, which is never run here."""
    named = read_config(folder).get("auto_map") or {}
    others = [str(name) for name in named.values() if class_named(str(name).rpartition(".")[2]) is None]
    return f" (they are for code of its own, {others[0]}, which is not run here)" if others else ""


def _weight_file(folder: Path) -> Path:
    return next(iter(sorted(folder.glob("*.safetensors"))), folder / "model.safetensors")


def _refuse_other_tokens(folder: Path, config: Any, encoder: Any) -> None:
    """Refuse a tokenizer that is not the one the model was trained with."""
    path = folder / _ENCODER_FILES[0]
    try:
        reading = reading_of(encoder, config)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for name, found in (("k", reading.letters_per_token), ("stride", reading.token_step)):
        stated = getattr(config, name, None)
        if stated is not None and stated != found:
            raise ValueError(
                f"{path}: {name} is {found}, but config.json says {stated}; the two do not belong together"
            )
    known = getattr(config, "vocab_size", None)
    if known is not None and hasattr(encoder, "get_vocab") and (size := len(encoder.get_vocab())) > known:
        raise ValueError(f"{path}: the tokenizer has {size} tokens, but the model of config.json knows {known}")


def _line(error: BaseException) -> str:
    """The words of an error in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def fingerprint_weights(model: Any) -> str:
    """What tells a model that was not loaded from a folder from others: its class, configuration and weights."""
    digest = hashlib.sha256(f"{type(model).__name__} {model.config.to_json_string()}".encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
