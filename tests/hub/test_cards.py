"""Cards: what the Hub's own client reads from them, and that nothing appears that was not given."""

from __future__ import annotations

import re

import pytest
import yaml
from huggingface_hub import ModelCard, SpaceCard, parse_eval_result_entries

from seqformers._families import FAMILIES
from seqformers.hub.cards import (
    CARD_FACTS,
    eval_results_yaml,
    render_model_card,
    render_space_card,
    write_eval_results,
)
from tests.conftest import ROOT

FACTS = {
    "name": "virbert-tiny",
    "repo_id": "someone/virbert-tiny",
    "license": "apache-2.0",
    "auto_class": "AutoModelForSequenceClassification",
    "parameters": 12345,
    "labels": ["nonphage", "phage"],
    "portable": True,
    "base_model": "someone/virbert-pretrained",
    "architecture": {"layers": 3, "width": 192},
    "data": [
        {
            "name": "phage",
            "config": "reads-150",
            "splits": {"train": 1000, "test": 100},
            "citation": "@misc{refseq,\n title={RefSeq}}",
            "licence": "public domain",
            "hub_id": "someone/phage",
        }
    ],
    "metrics": {
        "validation": {"mcc": {"mean": 0.5, "sd": 0.1, "values": [0.4, 0.6]}},
        "test": {"mcc": {"mean": 0.451234, "sd": 0.05, "values": [0.40, 0.50]}, "auroc": 0.9},
    },
    "seeds": [0, 1],
    "published_seed": "seed 1, the best on validation",
    "baselines": {"gc_only": {"mcc": 0.41, "auroc": 0.8}, "kmer_4_logistic": {"mcc": 0.42}},
    "leakage": {"shared_31_mers": 0.001},
    "speed": {"sequences_per_second": 120.5},
    "environment": {"hours": 0.2, "device": "CPU", "co2_kg": 0.003},
    "versions": {"torch": "2.13.0"},
    "recipe": "task: finetune\ntraining:\n  learning_rate: 1e-4\n",
    "command": "seqformers finetune recipe.yaml",
    "hyperparameters": {"learning_rate": 1e-4, "effective_batch_size": 64},
    "bibtex": "@article{mine,\n  title = {Mine}\n}",
}


def test_the_hub_client_reads_the_metadata_back():
    data = ModelCard(render_model_card("kmer_bert", FACTS)).data
    assert data.license == "apache-2.0"
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "text-classification"
    assert data.base_model == "someone/virbert-pretrained"
    assert data.datasets == ["someone/phage"]
    assert {"seqformers", "biology"} <= set(data.tags)
    results = {(result.dataset_split, result.metric_type): result for result in data.eval_results}
    assert results["test", "matthews_correlation"].metric_value == pytest.approx(0.451234)
    assert "2 seeds, sd 0.05" in results["test", "matthews_correlation"].metric_name
    assert results["test", "roc_auc"].metric_value == 0.9
    assert results["test", "roc_auc"].dataset_config == "reads-150"


@pytest.mark.parametrize(
    "heading",
    [
        "Intended use",
        "Limits",
        "How to load",
        "Training data",
        "Recipe and hyper-parameters",
        "Results",
        "Beside shortcut baselines",
        "Leakage between splits",
        "Speed and memory of inference",
        "Environmental cost",
        "Versions",
        "Citation",
    ],
)
def test_every_section_is_there(heading):
    assert f"\n## {heading}\n" in render_model_card("kmer_bert", FACTS)


def test_facts_appear_where_they_belong():
    card = render_model_card("kmer_bert", FACTS)
    assert "| MCC | 0.5 ± 0.1 | 0.4512 ± 0.05 |" in card
    assert "| **this model** | **0.4512 ± 0.05** | **0.9** |" in card
    assert "| gc only | 0.41 | 0.8 |" in card
    assert 'from_pretrained("someone/virbert-tiny", trust_remote_code=True)' in card
    assert 'subfolder="portable"' in card
    assert "train 1,000, test 100" in card
    assert "public domain" in card and "title={RefSeq}" in card
    assert "ji2021dnabert" in card and "@article{mine" in card
    assert "\n\n\n" not in card


def test_what_was_not_given_is_not_claimed():
    card = render_model_card("kmer_bert", {"name": "bare"})
    assert "No score was measured." in card
    assert "No baseline was measured." in card
    assert "No leakage report was made" in card
    assert "portable" not in card
    assert ModelCard(card).data.eval_results is None


def test_a_single_seed_is_called_one():
    card = render_model_card("kmer_bert", {"name": "one", "metrics": {"test": {"mcc": 0.3}}, "seeds": [7]})
    assert "One seed (7): no spread is known." in card


def test_a_spread_is_claimed_only_where_there_is_one():
    facts = {"name": "x", "seeds": [0, 1, 2]}
    one = render_model_card("kmer_bert", facts | {"metrics": {"test": {"mcc": 0.3}}})
    assert "over 3 seeds" not in one and "Scores of one set of weights; 3 seeds were trained (0, 1, 2)." in one
    spread = render_model_card("kmer_bert", facts | {"metrics": {"test": {"mcc": {"mean": 0.3, "sd": 0.1}}}})
    assert "Mean ± standard deviation over 3 seeds (0, 1, 2)." in spread


def test_a_family_without_template_gets_the_base_one_and_processors_are_shown():
    card = render_model_card("no_such_family", {"name": "x", "input": "processor", "example": 'mirna="UGAG"'})
    assert 'processor = AutoProcessor.from_pretrained(".")' in card
    assert 'processor(mirna="UGAG", return_tensors="pt")' in card


def test_a_head_without_an_auto_class_is_imported_from_here():
    card = render_model_card("plus_rnn", {"name": "x", "auto_class": "AutoModelForPairClassification"})
    assert "from seqformers import PlusRnnForPairClassification" in card
    assert 'PlusRnnForPairClassification.from_pretrained(".")' in card
    assert "import AutoModelForPairClassification" not in card


def test_local_paths_do_not_become_hub_base_models(tmp_path):
    card = render_model_card("kmer_bert", {"name": "x", "base_model": str(tmp_path)})
    assert ModelCard(card).data.base_model is None


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"name": "x", "licens": "mit"}, "did you mean 'license'"),
        ({"name": "x", "data": {"licnce": "mit"}}, "did you mean 'licence'"),
        ({"license": "mit"}, "needs the fact 'name'"),
    ],
)
def test_wrong_facts_are_refused(facts, message):
    with pytest.raises(ValueError, match=message):
        render_model_card("kmer_bert", facts)


def test_eval_results_name_hub_data_sets_only(tmp_path):
    assert eval_results_yaml({**FACTS, "data": [{"name": "local"}]}) == {}
    (path,) = write_eval_results(tmp_path, FACTS)
    assert path == tmp_path / ".eval_results" / "someone--phage.yaml"
    entries = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    assert {entry.dataset_id for entry in entries} == {"someone/phage"}
    assert {entry.task_id: entry.value for entry in entries}["reads-150-test-mcc"] == pytest.approx(0.451234)


HOSTILE = "=1+1 <script>alert(1)</script> | `x` [y](javascript:z)\n# heading\n```\nfence"


def test_hostile_texts_stay_texts():
    facts = FACTS | {
        "name": HOSTILE,
        "labels": ["@a", "-b", "+c", HOSTILE],
        "summary": "# <b>own</b> Markdown\n```\nleft open",
        "notes": ["<img src=x>"],
        "published_seed": HOSTILE,
        "base_model": HOSTILE,
        "recipe": f"description: |\n  {HOSTILE}",
        "command": HOSTILE,
        "hyperparameters": {HOSTILE: HOSTILE},
        "metrics": {HOSTILE: {HOSTILE: 0.5}},
        "leakage": {HOSTILE: 1},
        "baselines": {HOSTILE: {"mcc": 0.1}},
        "data": [
            {"name": HOSTILE, "config": HOSTILE, "description": "<i>d</i>", "splits": {HOSTILE: 3}, "url": HOSTILE}
        ],
    }
    card = ModelCard(render_model_card("kmer_bert", facts))
    assert card.data.eval_results[0].metric_value == 0.5 and card.data.model_name == HOSTILE
    outside = re.sub(r"^(`{3,})\w*\n.*?\n\1$", "", card.text, flags=re.DOTALL | re.MULTILINE)
    plain = re.sub(r"(?<!\\)`[^`\n]*`", "", outside)  # code within a line is no HTML either
    assert not re.search(r"<(?!/?(details|summary)>)[a-z!]", plain) and "[y](" not in plain
    assert r"# =1+1 &lt;script>alert(1)&lt;/script> \| \`x\`" in outside
    labels = next(line for line in outside.splitlines() if "labels, in the order" in line)
    assert len(re.findall(r"(?<!\\)\|", labels)) == 3 and "@a, -b, +c" in labels
    headings = re.findall(r"^## .*", render_model_card("kmer_bert", FACTS | {"notes": ["n"]}), re.MULTILINE)
    assert re.findall(r"^## .*", outside, re.MULTILINE) == headings


def test_the_card_of_a_space_keeps_any_title():
    card = SpaceCard(render_space_card(HOSTILE))
    assert card.data.title == HOSTILE and card.data.sdk == "gradio"
    assert "<script" not in card.text and card.text.count("\n# ") + card.text.startswith("# ") == 1


def test_a_card_names_no_folder_of_this_machine():
    facts = FACTS | {
        "command": "seqformers finetune /home/anna/r.yaml data.path=/home/anna/reads",
        "recipe": "data:\n  path: /home/anna/my reads\n",
        "base_model": "/home/anna/base",
        "notes": ["trained beside `/home/anna/x`"],
        "data": [{"name": "reads", "url": "file:///home/anna/reads", "description": "of /home/anna/reads"}],
    }
    card = render_model_card("kmer_bert", facts)
    assert "anna" not in card and "seqformers finetune r.yaml data.path=reads" in card and "path: my reads" in card
    assert ModelCard(card).data.base_model is None


def test_every_fact_is_documented():
    assert all(text.strip() for text in CARD_FACTS.values())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_every_family_has_a_template_with_its_limits_and_source(family):
    template = ROOT / "model_cards" / f"{family.model_type}.md"
    text = render_model_card(family.model_type, {"name": "tiny"})
    assert template.is_file() and text != render_model_card("none", {"name": "tiny"}).replace(
        "none", family.model_type
    )
    assert "clinical" in text and "author = {" in text


def test_metrics_on_other_data_name_it():
    facts = {"name": "m", "metrics": {"test": {"mcc": 0.5}, "elsewhere": {"mcc": 0.25}}, "data": [{"name": "own"}]}
    card = ModelCard(render_model_card("targetnet", facts | {"tested_on": {"elsewhere": "another set"}}))
    assert {r.metric_value: r.dataset_name for r in card.data.eval_results} == {0.5: "own", 0.25: "another set"}
