"""A student learns a teacher's answers: losses against loops, other tokens, what a run folder says, kills."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from seqformers.hub.load import load_model
from seqformers.training import distill, evaluate, finetune, pretrain
from seqformers.training.distillation import soft_loss
from seqformers.training.recipe import load_recipe
from seqformers.training.run import Run
from seqformers.training.tasks import Classes, Labels, MaskedTokens, NextTokens, Numbers
from tests.training.conftest import TINY

pytestmark = pytest.mark.usefixtures("no_intervals")

QUICK = {"per_device_train_batch_size": 16, "learning_rate": 1e-2, "use_cpu": True, "bf16": False}


def kl(student: Any, teacher: Any, temperature: float) -> float:
    """Kullback-Leibler divergence of one pair of answers, times the square of the temperature."""
    one, goal = (np.exp(x / temperature) / np.exp(x / temperature).sum() for x in (student, teacher))
    return float(temperature**2 * (goal * np.log(goal / one)).sum())


def test_losses_are_those_of_a_loop_over_answers() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 4, 5, dtype=torch.float64), torch.randn(2, 4, 5, dtype=torch.float64)
    labels = torch.tensor([[1, -100, 2, 3], [-100, 0, 4, -100]])
    places = [(0, 0), (0, 2), (0, 3), (1, 1), (1, 2)]
    expected = np.mean([kl(student[place].numpy(), teacher[place].numpy(), 3.0) for place in places])
    found = soft_loss(MaskedTokens(), student, teacher, labels, 3.0)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    rows = torch.stack([student[place] for place in places])
    assert soft_loss(MaskedTokens(), rows, teacher, labels, 3.0).item() == pytest.approx(expected, rel=1e-5)
    before = [(row, place - 1) for row, place in places if place > 0]
    expected = np.mean([kl(student[place].numpy(), teacher[place].numpy(), 3.0) for place in before])
    assert soft_loss(NextTokens(), student, teacher, labels, 3.0).item() == pytest.approx(expected, rel=1e-5)
    flat = student[:, 0], teacher[:, 0]
    expected = np.mean([kl(*(x[row].numpy() for x in flat), 2.0) for row in range(2)])
    assert soft_loss(Classes("ab"), *flat, labels, 2.0).item() == pytest.approx(expected, rel=1e-5)
    pairs = [(np.array([0, x]), np.array([0, y])) for x, y in zip(*(x.flatten().numpy() for x in flat), strict=True)]
    expected = np.mean([kl(*pair, 2.0) for pair in pairs])
    assert soft_loss(Labels("abcde"), *flat, labels, 2.0).item() == pytest.approx(expected, rel=1e-5)
    expected = float(((flat[0][:, 0] - flat[1][:, 0]) ** 2).mean())
    assert soft_loss(Numbers(), flat[0][:, :1], flat[1][:, :1], labels, 2.0).item() == pytest.approx(expected)


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory, request: Any) -> Path:
    """A classifier and a language model with two layers."""
    root = tmp_path_factory.mktemp("teachers")
    model = {"config": TINY | {"num_hidden_layers": 2, "hidden_size": 24}}
    tokenizer = {"k": 3}
    for name, make, data in (("classifier", finetune, "reads"), ("language", pretrain, "genomes")):
        make(
            {
                "model": model,
                "tokenizer": tokenizer,
                "data": {"path": str(request.getfixturevalue(data))},
                "training": QUICK | {"max_steps": 30, "save_steps": 30, "eval_steps": 30},
                "baselines": {"names": []},
            },
            output=root / name,
        )
    return root


def recipe_for(teacher: Path, data: Path, **sections: Any) -> dict[str, Any]:
    return {
        "task": "distill",
        "model": {"config": TINY},
        "tokenizer": {"k": 3},
        "data": {"path": str(data)},
        "distill": {"teacher": str(teacher)},
        "training": QUICK | {"max_steps": 30, "save_steps": 4, "eval_steps": 4},
        "baselines": {"names": ["gc_only"]},
        "portable": False,
        **sections,
    }


def test_a_student_of_another_family_answers_as_its_teacher(teachers: Path, reads: Path, tmp_path: Path) -> None:
    cnn = {"type": "seq_cnn", "config": {"num_filters": [8], "filter_widths": [5]}}
    asked = {"teacher": str(teachers / "classifier"), "share": 1.0, "temperature": 1.5}
    recipe = recipe_for(teachers, reads, model=cnn, tokenizer={"k": 1}, distill=asked)
    run = distill(recipe, output=tmp_path / "run")
    summary = json.loads((run / "metrics.json").read_text())
    own = json.loads((teachers / "classifier" / "metrics.json").read_text())["metrics"]["test"]
    assert summary["baselines"]["teacher"]["auroc"] == pytest.approx(own["auroc"]["mean"])
    assert summary["teacher"]["metrics"]["test"] == summary["baselines"]["teacher"]
    assert summary["teacher"]["parameters"] > summary["per_seed"][0]["parameters"]
    assert summary["metrics"]["test"]["auroc"]["mean"] > 0.9  # the classes can be read off the letters
    card = (run / "README.md").read_text()
    assert "teacher: classifier" in card and str(tmp_path) not in card
    assert evaluate(run)["metrics"]["auroc"] == pytest.approx(summary["metrics"]["test"]["auroc"]["mean"])
    loaded = load_model(run, None)
    assert loaded.config.model_type == "seq_cnn" and loaded.config.num_labels == 2


def test_hidden_states_come_closer_with_their_weight(teachers: Path, reads: Path, tmp_path: Path) -> None:
    teacher = str(teachers / "classifier")
    distances = []
    for weight in (0.0, 20.0):
        asked = {"teacher": teacher, "share": 0.5, "hidden": weight}
        run = Run.prepare(load_recipe(recipe_for(teachers, reads, distill=asked)), tmp_path / "run")
        trainer = run.make_trainer(0, tmp_path / str(weight), run.make_model(0))
        learner: Any = trainer.model
        trainer.train()
        batch = run.collate([run.table.splits["test"][row] for row in range(16)])
        learner.hidden = 1.0
        if weight == 0:
            learner.projection = torch.nn.Linear(16, 24, bias=False)
        learner.train()
        mine = learner.model(**batch, output_hidden_states=True).hidden_states
        theirs = learner.teacher.answer(batch, hidden=True).hidden_states
        distances.append(learner._distance(mine, theirs, batch).item())
        assert not any("teacher" in name for name in learner.state_dict())
    assert distances[1] < 0.5 * distances[0]


def test_a_language_model_is_taught(teachers: Path, genomes: Path, tmp_path: Path) -> None:
    recipe = recipe_for(teachers, genomes, distill={"teacher": str(teachers / "language")})
    recipe["data"]["label"] = None
    run = distill(recipe, output=tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["metrics"]["validation"]) == {"loss", "masked_accuracy", "perplexity"}
    own = json.loads((teachers / "language" / "metrics.json").read_text())["metrics"]["validation"]["loss"]["mean"]
    assert metrics["teacher"]["metrics"]["validation"]["loss"] == pytest.approx(own, rel=1e-4)


def test_a_run_goes_on_after_a_kill(teachers: Path, reads: Path, tmp_path: Path) -> None:
    recipe = recipe_for(teachers, reads, distill={"teacher": str(teachers / "classifier"), "hidden": 1.0})
    recipe["training"] |= {"save_strategy": "steps", "eval_strategy": "steps", "max_steps": 16}
    whole = distill(recipe, output=tmp_path / "whole")

    class Kill(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 11:
                raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        distill(recipe, output=tmp_path / "again", callbacks=[Kill()])
    with pytest.raises(ValueError, match=r"distill\.temperature"):
        distill(recipe, ["distill.temperature=9"], output=tmp_path / "again", resume=True)
    again = distill(recipe, output=tmp_path / "again", resume=True)
    one, other = (load_model(run, None).model.state_dict() for run in (whole, again))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"distill": {}}, "needs distill.teacher"),
        ({"distill": {"teacher": "classifier", "share": 2}}, "distill.share must be between 0 and 1"),
        (
            {
                "model": {"type": "kmer_bert"},
                "tokenizer": {"k": 4},
                "distill": {"teacher": "classifier", "hidden": 1.0},
            },
            "has other tokens",
        ),
        ({"distill": {"teacher": "language"}}, "is a language model, which knows no labels"),
    ],
)
def test_what_does_not_fit_is_named(sections: Any, message: str, teachers: Path, reads: Path, tmp_path: Path) -> None:
    if "teacher" in sections["distill"]:
        sections["distill"] = sections["distill"] | {"teacher": str(teachers / sections["distill"]["teacher"])}
    with pytest.raises(ValueError, match=message):
        distill(recipe_for(teachers, reads, **sections), output=tmp_path / "run")
    with pytest.raises(ValueError, match="read by `distill`"):
        finetune(
            {"data": {"path": str(reads)}, "distill": {"teacher": str(teachers / "classifier")}}, output=tmp_path / "x"
        )
