"""The k-mer BERT family against the original code's numbers, stock BERT, and its own slower equivalents."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertForMaskedLM,
    Trainer,
    TrainingArguments,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from seqformers import (
    KmerBertConfig,
    KmerBertForMaskedLM,
    KmerBertForPreTraining,
    KmerBertForSequenceClassification,
    KmerBertForTokenClassification,
    KmerBertModel,
    KmerTokenizer,
)
from seqformers.modeling.dna.modeling_kmer_bert import kmer_composition
from tests.conftest import golden_cases

GOLDEN = {case["id"]: case for case in golden_cases("virbert")}
PAD, CLS, SEP, MASK = 0, 2, 3, 4


def tiny(**changes: Any) -> KmerBertConfig:
    values = {
        "k": 3,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 32,
    }
    return KmerBertConfig(**(values | changes))


def build(head: type, **changes: Any) -> Any:
    """A tiny model with weights large enough for differences to show."""
    torch.manual_seed(0)
    return head(tiny(initializer_range=0.3, **changes)).eval()


def rows(*lengths: int, seed: int = 0, total: int | None = None) -> dict[str, torch.Tensor]:
    """A padded batch of `[CLS] k-mers [SEP]` rows with so many k-mers each."""
    generator = np.random.default_rng(seed)
    width = total or max(lengths) + 2
    ids = np.full((len(lengths), width), PAD)
    for row, length in zip(ids, lengths, strict=True):
        row[: length + 2] = [CLS, *generator.integers(5, 69, length), SEP]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor((ids != PAD).astype(np.int64))}


def name_seeded(model: Any, original: Callable[[str], str] = lambda name: name) -> Any:
    """Fill in the golden cases' weights: seeded by the name a parameter has in the original code."""
    state = {}
    for name, value in model.state_dict().items():
        source = original(name)
        seed = zlib.crc32(source.encode())
        weight = (np.random.RandomState(seed).standard_normal(tuple(value.shape)) * 0.2).astype(np.float32)
        state[name] = torch.from_numpy(weight + 1 if source.endswith("LayerNorm.weight") else weight)
    if "cls.predictions.decoder.weight" in state:
        state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"]
        state["cls.predictions.bias"] *= 2  # the original adds this bias twice
        state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"]
    model.load_state_dict(state)
    return model.eval()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("attended", "loss_no_attention_mask(original behaviour)"),
        ("additive", "loss_with_2D_mask_in_original_code(legacy +1/0 bias)"),
        ("masked", "loss_with_correct_mask(transformers 5)"),
    ],
)
def test_masked_lm_loss_is_the_originals(padding: str, expected: str, attention: str) -> None:
    case = GOLDEN["parity_mlm"]
    config = KmerBertConfig(**case["input"]["config"], padding_attention=padding, attn_implementation=attention)
    model = name_seeded(KmerBertForMaskedLM(config))
    ids, labels = torch.tensor(case["input"]["input_ids"]), torch.tensor(case["input"]["labels"])
    mask = (ids != PAD).long()
    assert model(ids, mask, labels=labels).loss.item() == pytest.approx(case["expected"][expected], abs=2e-6)
    if padding == "attended":
        logits = model(ids, mask).logits
        for place in [(1, 2), (0, 3)]:
            want = case["expected"][f"scores_no_mask[{place[0]},{place[1]},:6]"]
            assert logits[place][:6].tolist() == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize(("padding", "prefix"), [("additive", "legacy"), ("masked", "correct_mask")])
def test_chunked_head_is_dnalongcat(padding: str, prefix: str) -> None:
    case = GOLDEN["parity_dnalongcat"]
    config = {name: value for name, value in case["input"]["config"].items() if name != "split"}
    model = name_seeded(
        KmerBertForSequenceClassification(KmerBertConfig(**config, max_chunks=2, padding_attention=padding)),
        lambda name: name.replace("chunk_projection", "classifier1").replace("classifier.", "classifier2."),
    )
    ids = torch.tensor([[CLS, *kmer_ids(case["input"]["seq_rule"], 3), SEP]])
    output = model(ids, labels=torch.tensor(case["input"]["labels"]))
    assert output.logits[0].tolist() == pytest.approx(case["expected"][f"{prefix}_logits"], abs=2e-6)
    assert output.loss.item() == pytest.approx(case["expected"][f"{prefix}_loss"], abs=2e-6)


def kmer_ids(rule: str, k: int) -> list[int]:
    """The ids of the golden cases' sequence: `numpy.random.RandomState(7).choice(list('ACGT'), 1000)`."""
    assert "RandomState(7)" in rule and "1000" in rule
    codes = ["ATCG".index(base) for base in np.random.RandomState(7).choice(list("ACGT"), 1000)]
    return [5 + sum(code * 4**place for place, code in enumerate(codes[i : i + k][::-1])) for i in range(1001 - k)]


def test_layout_of_1000_nucleotides() -> None:
    case = GOLDEN["long_1000nt_layout"]
    want = case["expected"]
    config = KmerBertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, max_chunks=2
    )
    model = KmerBertForSequenceClassification(config)
    inputs = model._cut(torch.tensor([[CLS, *kmer_ids(case["input"]["seq_rule"], 6), SEP]]), None, None, None).inputs
    ids = inputs["input_ids"]
    assert ids.shape == (2, 512) and inputs["attention_mask"].sum(-1).tolist() == want["attention_sum_rows"]
    assert ids[0, :5].tolist() == want["row0_first5"] and ids[0, -3:].tolist() == want["row0_last3"]
    assert ids[1, :5].tolist() == want["row1_first5"] and ids[1, 484:487].tolist() == want["row1_last_real3"]
    assert ids[1, want["row1_first_pad"] :].unique().tolist() == [PAD]
    for row, name in enumerate(["row0_special_positions", "row1_special_positions"]):
        special = torch.isin(ids[row], torch.tensor([CLS, SEP])).nonzero().flatten().tolist()
        assert special == want[name]


def test_rows_that_come_laid_out_in_chunks_give_the_same() -> None:
    model = build(KmerBertForSequenceClassification, max_chunks=3)
    flat = rows(70)["input_ids"]
    content = flat[0, 1:-1].tolist()
    pieces = [content[i : i + 30] for i in range(0, 70, 30)]
    laid_out = torch.tensor([[token for piece in pieces for token in (CLS, *piece, SEP)] + [PAD] * 20])
    mask = (laid_out != PAD).long()
    torch.testing.assert_close(model(laid_out, mask).logits, model(flat).logits)


def test_cutting_is_what_a_loop_would_do() -> None:
    model = build(KmerBertForSequenceClassification, max_chunks=4)
    batch = rows(70, 3, 30, 31, 0, 120)
    chunks = model._cut(batch["input_ids"], batch["attention_mask"], None, None)
    expected = []
    for number, row in enumerate(batch["input_ids"].tolist()):
        content = [token for token in row if token not in (PAD, CLS, SEP)]
        for place, start in enumerate(range(0, max(len(content), 1), 30)):
            expected.append((number, place, [CLS, *content[start : start + 30], SEP]))
    assert chunks.row.tolist() == [item[0] for item in expected]
    assert chunks.place.tolist() == [item[1] for item in expected]
    for got, mask, (_, _, want) in zip(
        chunks.inputs["input_ids"].tolist(), chunks.inputs["attention_mask"].tolist(), expected, strict=True
    ):
        assert got == want + [PAD] * (len(got) - len(want))
        assert mask == [1] * len(want) + [0] * (len(got) - len(want))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("max_chunks", [1, 4])
def test_a_row_scores_the_same_alone_and_in_any_batch(max_chunks: int, pooling: str) -> None:
    model = build(KmerBertForSequenceClassification, max_chunks=max_chunks, classifier_pooling=pooling)
    lengths = [5, 17, 30] + ([31, 60, 119] if max_chunks > 1 else [])
    batch = rows(*lengths, total=122 if max_chunks > 1 else 32)
    together = model(**batch).logits
    for number, length in enumerate(lengths):
        alone = model(batch["input_ids"][number : number + 1, : length + 2]).logits
        torch.testing.assert_close(together[number : number + 1], alone, atol=1e-5, rtol=1e-4)
    assert together.std(0).min() > 1e-3  # the rows do differ


def test_left_padding_does_not_reach_chunked_inputs() -> None:
    model = build(KmerBertForSequenceClassification, max_chunks=3)
    batch = rows(40, total=60)
    flipped = {name: torch.roll(value, 18, dims=1) for name, value in batch.items()}
    torch.testing.assert_close(model(**flipped).logits, model(**batch).logits)


def test_a_pair_keeps_its_separator_in_a_chunk() -> None:
    model = build(KmerBertForSequenceClassification, max_chunks=2)
    ids = torch.tensor([[CLS, 7, 8, SEP, 9, 10, SEP]])
    types = torch.tensor([[0, 0, 0, 0, 1, 1, 1]])
    chunks = model._cut(ids, None, types, None)
    assert chunks.inputs["input_ids"].tolist() == ids.tolist()
    assert chunks.inputs["token_type_ids"].tolist() == types.tolist()


def test_chunks_of_embeddings_equal_chunks_of_ids() -> None:
    model = build(KmerBertForSequenceClassification, max_chunks=3, classifier_pooling="mean")
    batch = rows(70, 12)
    embeds = model.get_input_embeddings()(batch["input_ids"])
    with_embeds = model(inputs_embeds=embeds, attention_mask=batch["attention_mask"])
    torch.testing.assert_close(with_embeds.logits, model(**batch).logits)


def test_chunked_classifier_learns_from_the_last_chunk() -> None:
    model = build(KmerBertForSequenceClassification, max_chunks=3).train()
    batch = rows(80, 80)
    model(**batch, labels=torch.tensor([0, 1])).loss.backward()
    hidden = model.config.hidden_size
    for chunk in range(3):
        assert model.chunk_projection.weight.grad[:, chunk * hidden : (chunk + 1) * hidden].abs().sum() > 0


def test_too_long_inputs_are_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"34 tokens does not fit max_position_embeddings=32.*max_chunks"):
        build(KmerBertModel)(rows(32)["input_ids"])
    with pytest.raises(ValueError, match=r"row 1 .* 70 k-mers; max_chunks=2 chunks of 30 hold 60.*max_chunks=3"):
        build(KmerBertForSequenceClassification, max_chunks=2)(**rows(5, 70))


def flash_like(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **kwargs: Any) -> Any:
    """Flash attention's rule on a CPU: one row only, a new sequence wherever `position_ids` is 0."""
    assert attention_mask is None and query.shape[0] == 1
    number = (kwargs["position_ids"][0] == 0).cumsum(0)
    weights = query @ key.transpose(2, 3) * kwargs["scaling"]
    weights = weights.masked_fill(number[:, None] != number[None], -torch.inf).softmax(-1)
    return (weights @ value).transpose(1, 2), None


@pytest.mark.parametrize("attention", ["eager", "sdpa", "flex_attention", "flash_attention_2"])
def test_sequences_packed_in_a_row_do_not_see_each_other(attention: str, monkeypatch: Any) -> None:
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "flash_attention_2", flash_like)
    torch.manual_seed(0)
    model = KmerBertModel(tiny(initializer_range=0.3, max_position_embeddings=64)).eval()
    lengths = [[5, 9, 20], [15, 10]]
    separate = [rows(n, seed=n)["input_ids"] for group in lengths for n in group]
    width = 46
    packed = torch.zeros(2, width, dtype=torch.long)
    positions = torch.zeros(2, width, dtype=torch.long)
    where = []
    for row, group in enumerate(lengths):
        start = 0
        for length in group:
            part = slice(start, start + length + 2)
            packed[row, part] = rows(length, seed=length)["input_ids"][0]
            positions[row, part] = torch.arange(length + 2)
            where.append((row, part))
            start += length + 2
    mask = (packed != PAD).long()
    with torch.no_grad():
        alone = [model(ids) for ids in separate]
        model.config._attn_implementation = attention
        for given in ({}, {"attention_mask": mask}):
            together = model(packed, position_ids=positions, **given)
            for expected, (row, part) in zip(alone, where, strict=True):
                torch.testing.assert_close(
                    together.last_hidden_state[row, part], expected.last_hidden_state[0], atol=1e-5, rtol=1e-4
                )
            torch.testing.assert_close(together.pooler_output[1:], alone[3].pooler_output, atol=1e-5, rtol=1e-4)


def test_packed_rows_are_refused_where_one_label_a_row_is_meant() -> None:
    positions = torch.tensor([[0, 1, 2, 0, 1]])
    with pytest.raises(ValueError, match="one sequence a row"):
        build(KmerBertForSequenceClassification)(rows(3)["input_ids"], position_ids=positions)


def masked(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    labels = torch.full_like(batch["input_ids"], -100)
    labels[:, 2:5] = batch["input_ids"][:, 2:5]
    ids = batch["input_ids"].clone()
    ids[:, 2:5] = MASK
    return batch | {"input_ids": ids, "labels": labels}


@pytest.mark.parametrize("head", [KmerBertForMaskedLM, KmerBertForPreTraining])
def test_masked_only_head_gives_the_loss_and_gradients_of_the_full_one(head: type) -> None:
    batch = masked(rows(12, 7))
    model = build(head, masked_lm_logits="labelled")
    output = model(**batch)
    output.loss.backward()
    sparse = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    full = model(batch["input_ids"], batch["attention_mask"])
    logits = full.logits if head is KmerBertForMaskedLM else full.prediction_logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())
    loss.backward()
    torch.testing.assert_close(output.loss, loss)
    for name, value in model.named_parameters():
        if value.grad is not None:
            torch.testing.assert_close(sparse[name], value.grad, msg=name)
    predictions = output.logits if head is KmerBertForMaskedLM else output.prediction_logits
    torch.testing.assert_close(predictions, logits[batch["labels"] != -100])


@pytest.mark.parametrize(
    ("wanted", "training", "everywhere"),
    [("auto", True, False), ("auto", False, True), ("all", True, True), ("labelled", False, False)],
)
@pytest.mark.parametrize("head", [KmerBertForMaskedLM, KmerBertForPreTraining])
def test_logits_are_of_all_positions_outside_training(
    head: type, wanted: str, training: bool, everywhere: bool
) -> None:
    batch = masked(rows(12, 7))
    model = build(head, masked_lm_logits=wanted, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    output = model.train(training)(**batch)
    predictions = output.logits if head is KmerBertForMaskedLM else output.prediction_logits
    count = int((batch["labels"] != -100).sum())
    size = model.config.vocab_size
    assert predictions.shape == ((*batch["labels"].shape, size) if everywhere else (count, size))
    other = build(head, masked_lm_logits="labelled" if everywhere else "all")(**batch)
    torch.testing.assert_close(output.loss, other.loss)


def test_metrics_of_run_mlm_work_with_the_stock_trainer(tmp_path: Any) -> None:
    """As in transformers' example script: predictions are ids of all positions, labels say which of them count."""
    batch = masked(rows(12, 7, 9))
    examples = [{name: value[row] for name, value in batch.items()} for row in range(3)]
    seen = []

    def compute_metrics(prediction: Any) -> dict[str, float]:
        labels, found = prediction.label_ids.reshape(-1), prediction.predictions.reshape(-1)
        seen.append((prediction.label_ids.shape, prediction.predictions.shape))
        mask = labels != -100
        return {"accuracy": float((labels[mask] == found[mask]).mean())}

    arguments = TrainingArguments(
        str(tmp_path), per_device_eval_batch_size=2, report_to=[], use_cpu=True, disable_tqdm=True
    )
    model = build(KmerBertForMaskedLM)
    trainer = Trainer(
        model, arguments, eval_dataset=examples, compute_metrics=compute_metrics,
        preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1),
    )  # fmt: skip
    scores = trainer.evaluate()
    assert seen == [(tuple(batch["labels"].shape),) * 2]
    expected = model(batch["input_ids"], batch["attention_mask"]).logits.argmax(-1)
    right = (expected == batch["labels"])[batch["labels"] != -100].float().mean().item()
    assert scores["eval_accuracy"] == pytest.approx(right)


_TWO_PROCESSES = """
import sys, torch
from transformers import Trainer, TrainingArguments
from seqformers import KmerBertConfig, KmerBertForMaskedLM
torch.manual_seed(0)
model = KmerBertForMaskedLM(KmerBertConfig(
    k=3, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, max_position_embeddings=16))
rows = []
for i in range(5):  # as many labels as no other row, so that the two processes never have equally many
    ids = torch.arange(8) + 5
    rows.append({"input_ids": ids, "labels": torch.where(torch.arange(8) <= i, ids, -100)})
def metrics(p):
    assert p.predictions.shape == p.label_ids.shape == (5, 8), (p.predictions.shape, p.label_ids.shape)
    return {"labelled": int((p.label_ids != -100).sum())}
arguments = TrainingArguments(sys.argv[1], per_device_eval_batch_size=1, report_to=[], use_cpu=True, disable_tqdm=True)
assert arguments.world_size == 2
trainer = Trainer(model, arguments, eval_dataset=rows, compute_metrics=metrics,
                  preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1))
scores = trainer.evaluate()
if arguments.process_index == 0:
    print("labelled", scores["eval_labelled"])
"""


@pytest.mark.slow
def test_two_processes_gather_the_predictions(tmp_path: Any) -> None:
    (tmp_path / "two.py").write_text(_TWO_PROCESSES)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, str(tmp_path / "two.py"), str(tmp_path)], capture_output=True, text=True, cwd=tmp_path
    )
    assert "labelled 15" in done.stdout, done.stderr[-2000:]


def test_a_batch_without_masked_tokens_has_loss_zero() -> None:
    batch = rows(6) | {"labels": torch.full((1, 8), -100)}
    loss = build(KmerBertForMaskedLM)(**batch).loss
    loss.backward()
    assert loss.item() == 0.0


def test_pretraining_loss_is_the_sum_of_both() -> None:
    batch, order = masked(rows(6, 9)), torch.tensor([0, 1])
    model = build(KmerBertForPreTraining)
    both = model(**batch, next_sentence_label=order)
    order_only = model(batch["input_ids"], batch["attention_mask"], next_sentence_label=order).loss
    torch.testing.assert_close(both.loss, model(**batch).loss + order_only)
    assert both.seq_relationship_logits.shape == (2, 2)


PORTABLE = [
    (KmerBertForMaskedLM, AutoModelForMaskedLM),
    (KmerBertForPreTraining, AutoModelForPreTraining),
    (KmerBertForSequenceClassification, AutoModelForSequenceClassification),
    (KmerBertForTokenClassification, AutoModelForTokenClassification),
]


@pytest.mark.parametrize(("head", "auto"), PORTABLE)
def test_portable_export_is_stock_bert_with_the_same_logits(head: type, auto: Any, tmp_path: Any) -> None:
    model = build(head, stride=2, num_labels=3)
    model.export_portable(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["model_type"] == "bert" and "auto_map" not in written
    assert written["architectures"] == [head.__name__.removeprefix("Kmer")]
    stock, report = auto.from_pretrained(tmp_path, output_loading_info=True)
    assert type(stock).__module__.startswith("transformers.")
    assert not report["missing_keys"] and not report["unexpected_keys"]
    batch = rows(9, 21)
    for mine, theirs in zip(model(**batch).to_tuple(), stock.eval()(**batch).to_tuple(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_portable_export_writes_the_tokenizers_portable_form(tmp_path: Any) -> None:
    class Tokenizer:
        def save_portable(self, directory: Any) -> None:
            (directory / "tokenizer.json").write_text("{}")

    build(KmerBertForMaskedLM).export_portable(tmp_path / "out", Tokenizer())
    assert (tmp_path / "out" / "tokenizer.json").exists()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"max_chunks": 2}, "chunks"),
        ({"classifier_pooling": "mean"}, "mean"),
        ({"padding_attention": "additive"}, "pad"),
    ],
)
def test_what_stock_bert_cannot_express_is_refused(changes: dict[str, Any], word: str, tmp_path: Any) -> None:
    with pytest.raises(ValueError, match=word):
        build(KmerBertForSequenceClassification, **changes).export_portable(tmp_path)
    assert not list(tmp_path.iterdir())


def test_stock_weights_load(tmp_path: Any) -> None:
    model = build(KmerBertForMaskedLM)
    model.export_portable(tmp_path)
    stock = BertForMaskedLM.from_pretrained(tmp_path).eval()
    again = KmerBertForMaskedLM.from_pretrained(tmp_path).eval()
    assert (again.config.k, again.config.model_type) == (3, "kmer_bert")
    batch = rows(9, 4)
    torch.testing.assert_close(again(**batch).logits, stock(**batch).logits)


def test_hidden_states_attentions_and_checkpointing() -> None:
    model = build(KmerBertForMaskedLM, attn_implementation="eager")
    batch = masked(rows(6, 9))
    output = model(**batch, output_hidden_states=True, output_attentions=True)
    assert len(output.hidden_states) == 3 and len(output.attentions) == 2
    assert output.attentions[0].shape == (2, 2, 11, 11)
    assert output.attentions[0][0, :, :, 8:].abs().max() == 0  # padding gets none
    output.loss.backward()
    plain = model.bert.encoder.layer[0].attention.self.query.weight.grad.clone()
    model.zero_grad()
    model.gradient_checkpointing_enable()
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model(**batch).loss.backward()
    torch.testing.assert_close(model.bert.encoder.layer[0].attention.self.query.weight.grad, plain)


def test_losses_of_the_classifier() -> None:
    batch = rows(6, 9)
    model = build(KmerBertForSequenceClassification, num_labels=3)
    logits = model(**batch).logits
    one = model(**batch, labels=torch.tensor([2, 0], dtype=torch.int8)).loss
    torch.testing.assert_close(one, torch.nn.functional.cross_entropy(logits, torch.tensor([2, 0])))
    model.config.problem_type = None
    several = torch.tensor([[1.0, 0, 1], [0, 0, 1]])
    many = model(**batch, labels=several).loss
    torch.testing.assert_close(many, torch.nn.functional.binary_cross_entropy_with_logits(logits, several))
    assert model.config.problem_type == "multi_label_classification"
    scalar = build(KmerBertForSequenceClassification, num_labels=1)
    values = torch.tensor([0.3, -1.0])
    expected = torch.nn.functional.mse_loss(scalar(**batch).logits.squeeze(-1), values)
    torch.testing.assert_close(scalar(**batch, labels=values).loss, expected)
    assert scalar.config.problem_type == "regression"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k": 9}, "k must be 1 to 8"),
        ({"k": 4, "stride": 5}, "stride must be 1 to k=4"),
        ({"k": 6, "vocab_size": 69}, "too small for k=6"),
        ({"vocab_size": 1000}, "cannot tell k"),
        ({"max_chunks": 0}, "max_chunks"),
        ({"is_decoder": True}, "encoder"),
        ({"classifier_pooling": "max"}, "classifier_pooling"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        KmerBertConfig(**values)


def test_k_survives_saving_with_a_vocabulary_of_another_size(tmp_path: Any) -> None:
    KmerBertConfig(k=6, vocab_size=4104).save_pretrained(tmp_path)
    assert KmerBertConfig.from_pretrained(tmp_path).k == 6


# -- composition beside the encoder ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "stride", "width"), [(6, 1, 4), (5, 2, 4), (6, 3, 4), (3, 1, 3), (4, 2, 2)])
def test_composition_is_that_of_the_letters(k, stride, width):
    rng = np.random.default_rng(k)
    texts = ["".join(rng.choice(list("ACGT"), n)) for n in (stride * 20 + k, stride * 9 + k)]
    batch = KmerTokenizer(k=k, stride=stride)(texts, padding=True, return_tensors="pt")
    found = kmer_composition(batch.input_ids, batch.input_ids > 4, k, stride, width)
    complement = str.maketrans("ACGT", "TGCA")
    order = ["".join(word) for word in itertools.product("ATCG", repeat=width)]
    for row, text in zip(found, texts, strict=True):
        end = len(text) - k + min(stride, k - width + 1)  # words that start behind it are not counted
        words = [text[i : i + width] for i in range(end)]
        counts = Counter(min((word, word.translate(complement)[::-1]), key=order.index) for word in words)
        values = [counts[word] for word in order if order.index(word) <= order.index(word.translate(complement)[::-1])]
        expected = 2 * (np.sqrt(values) - np.sqrt(len(words) / len(values)))
        np.testing.assert_allclose(row.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_head_with_composition_reads_both_and_says_what_it_cannot():
    config = tiny(composition=3, classifier_pooling="mean")
    model = KmerBertForSequenceClassification(config).eval()
    assert model.classifier.in_features == config.hidden_size + 32
    batch = KmerTokenizer(k=3)(["ACGTACGGTTAC", "GGGATC"], padding=True, return_tensors="pt")
    alone = KmerTokenizer(k=3)(["GGGATC"], return_tensors="pt")
    torch.testing.assert_close(model(**batch).logits[1:], model(**alone).logits)
    with torch.no_grad():
        model.classifier.weight[:, : config.hidden_size] = 0
    other = KmerTokenizer(k=3)(["GATCCC"], return_tensors="pt")  # the other strand has the same composition
    torch.testing.assert_close(model(**alone).logits, model(**other).logits)
    with pytest.raises(ValueError, match="give input_ids"):
        model(inputs_embeds=torch.zeros(1, 4, config.hidden_size))
    with pytest.raises(ValueError, match="counts no k-mers"):
        model.export_portable("nowhere")
    for options in ({"k": 3, "composition": 4}, {"k": 3, "k_max": 5, "composition": 2}, {"composition": -1}):
        with pytest.raises(ValueError, match="composition must be"):
            KmerBertConfig(**options)
