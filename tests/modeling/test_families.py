"""What every model family owes its users, run on every class in the table of families.

How a family takes part: `tests/modeling/family_cases.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Trainer, TrainingArguments

import seqformers
from seqformers._families import FAMILIES, Family
from seqformers.hub.repository import write_model_repository
from tests.modeling.family_cases import CASES, Batch, FamilyCase

BY_TYPE = {case.model_type: case for case in CASES}
HEADS = [(family, head) for family in FAMILIES for head in dict.fromkeys(family.models.values())]
SUPPORTED = [(family, head) for family, head in HEADS if family.model_type in BY_TYPE]


def every_head(where: Any = lambda case: True) -> Any:
    """Parametrise over the classes of the families whose case fulfils `where`."""
    chosen = [pair for pair in SUPPORTED if where(BY_TYPE[pair[0].model_type])]
    return pytest.mark.parametrize(("family", "head"), chosen, ids=[head for _, head in chosen])


def make(family: Family, head: str, *, seed: int = 0, **changes: Any) -> Any:
    """A fresh tiny model in evaluation mode."""
    case = BY_TYPE[family.model_type]
    torch.manual_seed(seed)
    values = case.config | case.head_config.get(head, {}) | changes
    return getattr(seqformers, head)(getattr(seqformers, family.config)(**values)).eval()


def sharpen(model: Any) -> Any:
    """Larger weights, so that wrong attention or padding shows in the output."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and parameter.numel() > 1:
                parameter.mul_(0.4 / parameter.std().clamp(min=1e-6)) if parameter.std() < 0.1 else None
    return model


def batch_of(family: Family, head: str, seed: int = 0) -> Batch:
    return BY_TYPE[family.model_type].batch(head, seed)


@torch.no_grad()
def answer(model: Any, batch: Batch) -> torch.Tensor:
    """The first tensor a model answers with, in single precision."""
    return next(value for value in model(**batch).to_tuple() if torch.is_tensor(value)).float()


def of_real_positions(value: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Per-token answers without those at padding."""
    mask = batch.get("attention_mask")
    if mask is not None and value.ndim == 4 and value.shape[1] == value.shape[2] == mask.shape[1] - 2:
        residues = mask[:, 2:].bool()  # maps of residue pairs
        return value[residues[:, :, None] & residues[:, None, :]]
    if mask is None or value.ndim < 3 or value.shape[:2] != mask.shape:
        return value
    return value[mask.bool()]


def test_every_family_describes_itself() -> None:
    missing = {family.model_type for family in FAMILIES} - set(BY_TYPE)
    assert not missing, f"add a FamilyCase for {sorted(missing)} to tests/modeling/family_cases.py"


@every_head()
def test_loss_comes_with_labels_only(family: Family, head: str) -> None:
    case, model, batch = BY_TYPE[family.model_type], make(family, head), batch_of(family, head)
    plain = model(**case.unlabelled(batch))
    assert getattr(plain, "loss", None) is None
    if any(name in batch for name in case.label_names):
        loss = model(**batch).loss
        assert loss.ndim == 0 and torch.isfinite(loss) and loss.requires_grad


@every_head()
def test_fresh_weights_follow_the_law_of_the_family(family: Family, head: str) -> None:
    case = BY_TYPE[family.model_type]
    groups: dict[tuple[str, float], list[torch.Tensor]] = defaultdict(list)
    for seed in range(3):
        for name, parameter in make(family, head, seed=seed).named_parameters():
            values = parameter.detach().clone()
            padding = case.config.get("pad_token_id", 0)
            if name.endswith("word_embeddings.weight") and values[padding].abs().max() == 0:
                values = torch.cat([values[:padding], values[padding + 1 :]])  # the row of padding is zero
            groups[case.initial(name, parameter)].append(values.flatten())
    for (law, value), parts in groups.items():
        values = torch.cat(parts)
        if law == "patterned":
            assert torch.isfinite(values).all() and values.std() > 0
            continue
        if law == "norms":  # norms of rows of a uniform weight
            assert (values > 0).all() and (values <= 1.0001).all() and 0.4 < values.mean() < 0.7
            continue
        if law == "constant":
            assert (values == value).all(), (law, value)
            continue
        error = 5 / len(values) ** 0.5
        assert abs(values.mean()) < value * error, (law, value, values.mean())
        assert abs(values.std() / value - 1) < error + 1e-3, (law, value, values.std())
        if law == "uniform":
            assert values.abs().max() <= value * 3**0.5 * 1.0001
        elif len(values) > 1000:
            assert values.abs().max() > value * 3**0.5, "not normal: no tails"


@every_head()
def test_saved_and_loaded_models_are_identical_buffers_included(family: Family, head: str, tmp_path: Path) -> None:
    model = make(family, head)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    for kind in ("named_parameters", "named_buffers"):
        before, after = dict(getattr(model, kind)()), dict(getattr(again, kind)())
        assert before.keys() == after.keys()
        for name, value in before.items():
            assert torch.equal(value, after[name]), name
    # Equal weights at other addresses: vectorised kernels may differ in the last bit.
    found, expected = (answer(each.eval(), batch_of(family, head)) for each in (again, model))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


@every_head(lambda case: case.lengthen is not None)
def test_padding_does_not_change_the_answer(family: Family, head: str) -> None:
    case, model = BY_TYPE[family.model_type], sharpen(make(family, head))
    batch = case.unlabelled(batch_of(family, head))
    longer = case.lengthen(batch, 5)
    before, after = answer(model, batch), answer(model, longer)
    torch.testing.assert_close(
        of_real_positions(after, longer), of_real_positions(before, batch), atol=1e-5, rtol=1e-4
    )


@every_head(lambda case: case.lengthen is not None)
def test_padding_does_not_change_the_loss(family: Family, head: str) -> None:
    case, model, batch = BY_TYPE[family.model_type], sharpen(make(family, head)), batch_of(family, head)
    if any(name in batch for name in case.label_names):
        torch.testing.assert_close(model(**case.lengthen(batch, 5)).loss, model(**batch).loss, atol=1e-5, rtol=1e-4)


@every_head(lambda case: len(case.attentions) > 1)
def test_attention_implementations_agree(family: Family, head: str) -> None:
    case = BY_TYPE[family.model_type]
    batch = case.unlabelled(batch_of(family, head))
    answers = []
    for attention in case.attentions:
        model = sharpen(make(family, head, attn_implementation=attention))
        assert model.config._attn_implementation == attention
        answers.append(of_real_positions(answer(model, batch), batch))
    for other in answers[1:]:
        torch.testing.assert_close(other, answers[0], atol=1e-5, rtol=1e-4)


@every_head(lambda case: case.embeddings)
def test_embeddings_instead_of_ids_give_the_same(family: Family, head: str) -> None:
    case, model = BY_TYPE[family.model_type], make(family, head)
    batch = case.unlabelled(batch_of(family, head))
    expected = answer(model, batch)
    ids = batch.pop("input_ids")
    embedded = batch | {"inputs_embeds": model.get_input_embeddings()(ids)}
    torch.testing.assert_close(answer(model, embedded), expected)


def train(case: FamilyCase, head: str, model: Any, batch: Batch, folder: Path, **arguments: Any) -> None:
    examples, collator = case.for_trainer(head, batch)
    settings = {
        "output_dir": str(folder),
        "per_device_train_batch_size": len(examples),
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "logging_strategy": "no",
        "lr_scheduler_type": "constant",
        "seed": 0,
    }
    Trainer(
        model=model, args=TrainingArguments(**(settings | arguments)), train_dataset=examples, data_collator=collator
    ).train()


def has_loss(case: FamilyCase, batch: Batch) -> bool:
    return any(name in batch for name in case.label_names)


@every_head()
def test_two_steps_of_the_stock_trainer_lower_the_loss(family: Family, head: str, tmp_path: Path) -> None:
    case, model, batch = BY_TYPE[family.model_type], make(family, head), batch_of(family, head)
    if not has_loss(case, batch):
        pytest.skip("a base model has no loss")
    before = model(**batch).loss.item()
    train(case, head, model, batch, tmp_path, max_steps=2, learning_rate=case.learning_rate)
    after = model.eval()(**batch).loss.item()
    assert after < before


@every_head()
def test_gradient_accumulation_does_not_scale_the_step(family: Family, head: str, tmp_path: Path) -> None:
    """Trainer leaves the division to models that take `**kwargs`; one that only averages would step 4 times as far."""
    case, batch = BY_TYPE[family.model_type], batch_of(family, head)
    if not has_loss(case, batch):
        pytest.skip("a base model has no loss")
    steps = []
    for accumulated in (1, 4):
        model = make(family, head)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        before = torch.cat([value.detach().flatten().clone() for value in model.parameters()])
        size = max(len(case.for_trainer(head, batch)[0]) // accumulated, 1)
        train(
            case, head, model, batch, tmp_path, max_steps=1, optim="sgd", learning_rate=1e-3, max_grad_norm=0.0,
            per_device_train_batch_size=size, gradient_accumulation_steps=accumulated,
        )  # fmt: skip
        after = torch.cat([value.detach().flatten() for value in model.parameters()])
        steps.append((after - before).norm().item())
    assert 0.4 < steps[1] / steps[0] < 2.5


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written repository of every class with a batch and the answer to it."""
    root = tmp_path_factory.mktemp("repositories")
    for family, head in SUPPORTED:
        case, model = BY_TYPE[family.model_type], sharpen(make(family, head))
        write_model_repository(root / head, model)
        batch = case.unlabelled(batch_of(family, head))
        save_file({name: value.contiguous() for name, value in batch.items()}, root / f"{head}.batch.safetensors")
        save_file({"answer": answer(model, batch).contiguous()}, root / f"{head}.answer.safetensors")
    return root


_STRANGER = """
import json, sys
root, families, blocked = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3] == "blocked"
if blocked:
    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "seqformers":
                raise ImportError("seqformers is not installed here")
    sys.meta_path.insert(0, Blocker())
else:
    import seqformers
import torch, transformers
from safetensors.torch import load_file, save_file
from transformers.dynamic_module_utils import get_class_from_dynamic_module
for head, autos in families.items():
    folder = f"{root}/{head}"
    names = {}
    for auto, expected in autos.items():
        cls = getattr(transformers, auto, None)  # pairs and contacts have no Auto class
        if cls is not None:
            model = cls.from_pretrained(folder, trust_remote_code=blocked).eval()
        elif blocked:
            reference = json.load(open(f"{folder}/config.json"))["auto_map"][auto]
            model = get_class_from_dynamic_module(reference, folder).from_pretrained(folder).eval()
        else:
            model = getattr(seqformers, expected).from_pretrained(folder).eval()
        names[auto] = [type(model).__name__, type(model).__module__]
        if expected == head:
            with torch.no_grad():
                output = model(**load_file(f"{root}/{head}.batch.safetensors"))
            value = next(value for value in output.to_tuple() if torch.is_tensor(value)).float()
            save_file({"answer": value.contiguous()}, f"{root}/{head}.{sys.argv[3]}.safetensors")
    json.dump(names, open(f"{root}/{head}.{sys.argv[3]}.json", "w"))
"""


def loaded_by_stranger(family: Family, head: str) -> dict[str, str]:
    """Every class from the repository of the family's first class, from the others the one they were written from."""
    if head == next(iter(family.models.values())):
        return family.models
    return {auto: name for auto, name in family.models.items() if name == head}


@pytest.fixture(scope="module", params=["installed", "blocked"])
def stranger(request: Any, repositories: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Another interpreter has loaded every repository: with this package, or with it impossible to import."""
    families = {head: loaded_by_stranger(family, head) for family, head in SUPPORTED}
    folder = tmp_path_factory.mktemp("stranger")
    run = subprocess.run(
        [sys.executable, "-c", _STRANGER, str(repositories), json.dumps(families), request.param],
        cwd=folder,
        env=os.environ | {"HF_MODULES_CACHE": str(folder / "modules"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return request.param, repositories


@every_head()
def test_a_fresh_interpreter_loads_every_head_from_every_repository(
    family: Family, head: str, stranger: tuple[str, Path]
) -> None:
    how, root = stranger
    names = json.loads((root / f"{head}.{how}.json").read_text())
    assert {auto: name for auto, (name, _) in names.items()} == loaded_by_stranger(family, head)
    prefix = "transformers_modules" if how == "blocked" else "seqformers.modeling"
    assert all(module.startswith(prefix) for _, module in names.values())
    expected = load_file(root / f"{head}.answer.safetensors")["answer"]
    torch.testing.assert_close(load_file(root / f"{head}.{how}.safetensors")["answer"], expected)


@every_head()
def test_repositories_hold_no_pickle(family: Family, head: str, repositories: Path) -> None:
    suffixes = {path.suffix for path in (repositories / head).rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".safetensors", ".py", ".md", ".txt"}
