"""What `docs/families.md` says about the protein models, tried on every head: it works, or is refused by name."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

import seqformers
from seqformers._families import FAMILIES, Family
from seqformers.modeling.protein import modeling_protein_bert
from tests.conftest import ROOT
from tests.modeling.family_cases import CASES as ALL_CASES

CASES = {case.model_type: case for case in ALL_CASES}
PROTEINS = [family for family in FAMILIES if family.room == "protein"]
HEADS = [(family, head) for family in PROTEINS for head in dict.fromkeys(family.models.values())]
LAYERS = {"unirep": 1, "onehot": 0}


def table() -> dict[str, dict[str, str]]:
    """Family -> column -> the first word of its cell in `docs/families.md`."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / "families.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    words = {row[0].strip("`"): [re.split(r"\W", cell)[0] for cell in row[1:]] for row in rows[2:]}
    return {family: dict(zip(rows[0][1:], cells, strict=True)) for family, cells in words.items()}


TABLE = table()


def every_head(*endings: str, column: str = "", says: str = "") -> Any:
    """Parametrise over the heads with these endings, of the families whose cell of `column` begins with `says`."""
    chosen = [
        (family, head)
        for family, head in HEADS
        if head.endswith(endings or "") and (not column or TABLE[family.model_type][column] == says)
    ]
    return pytest.mark.parametrize(("family", "head"), chosen, ids=[head for _, head in chosen])


def make(family: Family, head: str, **changes: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """A tiny model in evaluation mode and a batch with labels."""
    case = CASES[family.model_type]
    torch.manual_seed(0)
    config = getattr(seqformers, family.config)(**(case.config | case.head_config.get(head, {}) | changes))
    return getattr(seqformers, head)(config).eval(), case.batch(head, 0)


def unlabelled(family: Family, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return CASES[family.model_type].unlabelled(batch)


def first(output: Any) -> torch.Tensor:
    return next(value for value in output.values() if torch.is_tensor(value))


def test_every_family_is_in_the_table() -> None:
    assert set(TABLE) >= {family.model_type for family in PROTEINS}
    for family in PROTEINS:
        assert set(TABLE[family.model_type].values()) <= {"works", "refused"}


@every_head(column="hidden states", says="works")
def test_hidden_states_are_given_on_request(family: Family, head: str) -> None:
    model, batch = make(family, head)
    batch = unlabelled(family, batch)
    assert getattr(model(**batch), "hidden_states", None) is None
    output = model(**batch, output_hidden_states=True)
    states = output.hidden_states
    layers = getattr(model.config, "num_hidden_layers", LAYERS.get(family.model_type))
    layers = model.config.lm_num_layers if head == "PElmoForPreTraining" else layers
    assert len(states) == layers + 1
    assert all(state.shape[:2] == batch["input_ids"].shape and torch.isfinite(state).all() for state in states)
    if head.endswith("Model"):
        torch.testing.assert_close(states[-1], output.last_hidden_state)
    model.config.output_hidden_states = True
    for one, other in zip(model(**batch).hidden_states, states, strict=True):
        torch.testing.assert_close(one, other)


@every_head(column="attentions", says="works")
def test_attentions_are_given_on_request(family: Family, head: str) -> None:
    model, batch = make(family, head, attn_implementation="eager")
    output = model(**unlabelled(family, batch), output_attentions=True)
    assert len(output.attentions) == model.config.num_hidden_layers


@every_head(column="attentions", says="refused")
def test_attentions_are_refused_by_name(family: Family, head: str) -> None:
    model, batch = make(family, head)
    with pytest.raises(ValueError, match="without attention; leave output_attentions out"):
        model(**unlabelled(family, batch), output_attentions=True)


@every_head(column="gradient checkpointing", says="works")
def test_gradient_checkpointing_changes_no_gradient(family: Family, head: str) -> None:
    model, batch = make(family, head, **({"hidden_dropout_prob": 0.0} if "Tape" in head or "Bert" in head else {}))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    calls = []

    def counted(function: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(function)
        return torch.utils.checkpoint.checkpoint(function, *args, use_reentrant=False, **kwargs)

    gradients = []
    for enabled in (False, True):
        if enabled:
            model.gradient_checkpointing_enable()
            for module in model.modules():
                if hasattr(module, "gradient_checkpointing"):
                    module._gradient_checkpointing_func = counted
        model.train().zero_grad()
        output = model(**batch)
        (first(output) if output.get("loss") is None else output.loss).float().square().sum().backward()
        gradients.append({name: value.grad for name, value in model.named_parameters() if value.grad is not None})
    assert calls and gradients[0] and gradients[0].keys() == gradients[1].keys()
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value, msg=name)


@every_head(column="gradient checkpointing", says="refused")
def test_gradient_checkpointing_is_refused_by_name(family: Family, head: str) -> None:
    with pytest.raises(ValueError, match=f"{head} does not support"):
        make(family, head)[0].gradient_checkpointing_enable()


@every_head(column="packed rows", says="refused")
@pytest.mark.parametrize("name", ["position_ids", "cu_seq_lens_q", "seq_idx"])
def test_packed_rows_are_refused_by_name(family: Family, head: str, name: str) -> None:
    model, batch = make(family, head)
    batch = unlabelled(family, batch)
    width = batch["input_ids"].shape[1]
    with pytest.raises(ValueError, match=f"reads one protein a row.* no {name}"):
        model(**batch, **{name: (torch.arange(width) % 5)[None]})
    model(**batch, position_ids=torch.arange(width)[None])  # one protein in its own order


PACKED = {
    "input_ids": torch.tensor([[2, 9, 8, 7, 3, 2, 20, 21, 3, 0, 0]]),
    "attention_mask": torch.tensor([[1] * 9 + [0] * 2]),
    "position_ids": torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5]]),
}


@pytest.mark.parametrize("attention", ["eager", "sdpa", "flex_attention"])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
@pytest.mark.parametrize("head", ["Model", "ForMaskedLM", "ForPreTraining", "ForTokenClassification"])
@torch.no_grad()
def test_packed_proteins_of_protein_bert_do_not_see_each_other(head: str, positions: str, attention: str) -> None:
    (family,) = [family for family in PROTEINS if family.model_type == "protein_bert"]
    changes = {"attn_implementation": attention, "position_embedding": positions, "head_type": "linear"}
    model, _ = make(family, f"ProteinBert{head}", initializer_range=0.5, **changes)
    together = first(model(**PACKED))
    for start, stop in ((0, 5), (5, 9)):
        alone = first(model(PACKED["input_ids"][:, start:stop]))
        torch.testing.assert_close(together[:, start:stop], alone, atol=1e-4, rtol=1e-4)
    leaking = first(model(PACKED["input_ids"], PACKED["attention_mask"]))
    assert (leaking[:, 5:9] - together[:, 5:9]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("head", "changes"),
    [
        ("ForSequenceClassification", {}),
        ("ForPairClassification", {}),
        ("ForContactPrediction", {}),
        ("ForTokenClassification", {"head_type": "tape"}),
    ],
)
def test_heads_of_whole_rows_refuse_packed_ones(head: str, changes: dict[str, Any]) -> None:
    (family,) = [family for family in PROTEINS if family.model_type == "protein_bert"]
    model, _ = make(family, f"ProteinBert{head}", **changes)
    with pytest.raises(ValueError, match=f"ProteinBert{head} reads one protein or pair a row"):
        model(**PACKED)


def test_packed_rows_without_positions_or_beyond_them_are_refused() -> None:
    (family,) = [family for family in PROTEINS if family.model_type == "protein_bert"]
    model, _ = make(family, "ProteinBertModel")
    with pytest.raises(ValueError, match="need position_ids beside cu_seq_lens_q"):
        model(PACKED["input_ids"], cu_seq_lens_q=torch.tensor([0, 5, 9]))
    with pytest.raises(ValueError, match="max_position_embeddings=48"):
        model(PACKED["input_ids"], position_ids=PACKED["position_ids"] + 44)
    padded = PACKED | {"position_ids": torch.arange(11)[None]}
    assert modeling_protein_bert.packed_proteins(padded["position_ids"], padded["attention_mask"]) is None


@every_head()
def test_bfloat16_autocast_gives_nearly_the_same(family: Family, head: str) -> None:
    model, batch = make(family, head, **({"pooling": "attention"} if head.startswith("PlusRnn") else {}))
    batch = CASES[family.model_type].lengthen(batch, 3)
    expected = model(**batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(**batch)
    spread = first(expected).float().abs().max()
    assert (first(found).float() - first(expected).float()).abs().max() < 0.1 * spread.clamp(min=0.1)
    if found.get("loss") is not None:
        model.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        assert torch.isfinite(loss)
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@every_head(column="dynamic int8 of `nn.Linear`", says="works")
def test_dynamic_quantisation_stays_close(family: Family, head: str) -> None:
    model, batch = make(family, head)
    batch = unlabelled(family, batch)
    expected = first(model(**batch))
    kinds = {torch.nn.Linear, torch.nn.LSTM}
    small = torch.ao.quantization.quantize_dynamic(model, kinds, dtype=torch.qint8)
    quantised = sum("quantized" in type(module).__module__ for module in small.modules())
    assert quantised >= sum(type(module) in kinds for module in model.modules())
    assert (first(small(**batch)) - expected).abs().max() <= 0.1 * expected.abs().max()


def dimensions(batch: dict[str, torch.Tensor]) -> dict[str, Any]:
    rows, tokens = torch.export.Dim("rows", min=1, max=64), torch.export.Dim("tokens", min=4, max=64)
    return {name: {0: rows, 1: tokens} for name in batch}


EXPORTED = (  # a class of every family
    "PlusRnnForPairClassification", "ProteinBertForSequenceClassification", "PElmoForPairClassification",
    "TapeLstmForSequenceClassification", "TapeResnetForTokenClassification", "UniRepForCausalLM",
    "AwdLstmForSequenceClassification", "ProteinCnnForTokenClassification", "OneHotForTokenClassification",
)  # fmt: skip


def test_a_class_of_every_family_is_exported() -> None:
    exported = {family.model_type for family, head in HEADS if head in EXPORTED}
    said = {family for family, cells in TABLE.items() if cells["`torch.export`, ONNX"] == "works"}
    assert exported == said & {family.model_type for family in PROTEINS}


@every_head(*EXPORTED, column="`torch.export`, ONNX", says="works")
@torch.no_grad()
def test_exported_graphs_take_rows_of_any_number_and_length(family: Family, head: str, tmp_path: Any) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is in the dev extra")
    pytest.importorskip("onnxscript", reason="onnxscript is in the dev extra")
    fewer = {"plus_rnn": {"num_hidden_layers": 1}, "p_elmo": {"num_hidden_layers": 1, "lm_num_layers": 1}}
    model, batch = make(family, head, **fewer.get(family.model_type, {}))
    batch = unlabelled(family, batch)
    torch._dynamo.reset()  # lengths of another model's graph would be taken for constants
    program = torch.onnx.export(model, (), kwargs=batch, dynamo=True, verbose=False, dynamic_shapes=dimensions(batch))
    program.save(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    case = CASES[family.model_type]
    other = {name: value[:3] for name, value in case.lengthen(case.unlabelled(case.batch(head, 5)), 3).items()}
    real = other["attention_mask"].bool()
    expected = first(model(**other))
    answers = {
        "ONNX": torch.from_numpy(
            session.run(None, {each.name: other[each.name].numpy() for each in session.get_inputs()})[0]
        ),
        "torch.export": program.exported_program.module()(**other),
    }
    for found in answers.values():
        found = found if torch.is_tensor(found) else first(found) if hasattr(found, "values") else found[0]
        if expected.shape[:2] == real.shape:
            torch.testing.assert_close(found[real], expected[real], atol=1e-4, rtol=1e-3)
        else:
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


@every_head()
def test_added_tokens_are_read_and_saved(family: Family, head: str, tmp_path: Any) -> None:
    model, batch = make(family, head)
    size = model.config.vocab_size
    if family.model_type == "onehot":
        with pytest.raises(ValueError, match="make a new model with OneHotConfig"):
            model.resize_token_embeddings(size + 3)
        assert model.resize_token_embeddings(size) is model.get_input_embeddings()
        return
    before = first(model(**unlabelled(family, batch)))
    model.resize_token_embeddings(size + 3, mean_resizing=False)
    after = first(model(**unlabelled(family, batch)))
    torch.testing.assert_close(after[..., : before.shape[-1]], before)
    batch["input_ids"][0, 2] = size + 2
    assert torch.isfinite(first(model(**unlabelled(family, batch)))).all()
    assert torch.isfinite(model(**batch).get("loss", torch.tensor(0.0)))
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(first(again(**batch)), first(model(**batch)))


@every_head()
def test_input_embeddings_are_those_the_model_reads(family: Family, head: str) -> None:
    model, batch = make(family, head)
    vectors = model.get_input_embeddings()(batch["input_ids"])
    assert vectors.shape[:2] == batch["input_ids"].shape and vectors.is_floating_point()
    if family.model_type == "onehot":
        assert torch.equal(vectors.argmax(-1), batch["input_ids"]) and (vectors.sum(-1) == 1).all()
        found = model(inputs_embeds=vectors, attention_mask=batch["attention_mask"])
        torch.testing.assert_close(first(found), first(model(**unlabelled(family, batch))))


# Losses of the heads

CLASSES = (
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForContactPrediction",
    "ProteinBertForPairClassification",
)


@every_head(*CLASSES)
def test_weights_of_classes_weigh_the_loss(family: Family, head: str) -> None:
    weights = [1.0, 5.0]
    model, batch = make(family, head, class_weights=weights)
    plain, _ = make(family, head)
    for each in (model, plain):  # fresh heads hardly tell the classes apart
        (bias,) = [
            value for name, value in each.classifier.named_parameters() if value.shape == (2,) and "bias" in name
        ]
        bias.data.copy_(torch.tensor([0.5, -0.5]))
    output = model(**batch)
    expected = cross_entropy(output.logits.flatten(0, -2), batch["labels"].flatten(), torch.tensor(weights))
    torch.testing.assert_close(output.loss, expected)
    assert abs(plain(**batch).loss - output.loss) > 0.05


@every_head(*CLASSES)
@pytest.mark.parametrize("weights", [[1.0, 2.0, 3.0], [1.0], [1.0, -1.0], [1.0, 0.0], [1.0, float("nan")]])
def test_weights_that_fit_no_classes_are_refused(family: Family, head: str, weights: list[float]) -> None:
    with pytest.raises(ValueError, match=f"class_weights of {head} must be 2 positive numbers"):
        make(family, head, class_weights=weights)


@every_head("ForPairClassification", "ForSequenceClassification")
def test_weights_without_classes_are_refused(family: Family, head: str) -> None:
    changes: list[dict[str, Any]] = [{"num_labels": 1}, {"problem_type": "multi_label_classification"}]
    if head in ("PlusRnnForPairClassification", "PElmoForPairClassification"):
        changes = [{}, {"num_labels": 5}]
    for each in changes:
        with pytest.raises(ValueError, match=f"{head} has no loss over classes to weigh"):
            make(family, head, **(each | {"class_weights": [1.0, 2.0]}))


@every_head("ForSequenceClassification")
@pytest.mark.parametrize("kind", [torch.float32, torch.long])
@pytest.mark.parametrize("stated", [True, False])
def test_several_labels_at_once(family: Family, head: str, kind: torch.dtype, stated: bool) -> None:
    changes = {"problem_type": "multi_label_classification"} if stated else {}
    model, batch = make(family, head, num_labels=3, **changes)
    labels = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]]).to(kind)
    output = model(**(batch | {"labels": labels}))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(output.logits, labels.float())
    torch.testing.assert_close(output.loss, expected)
    with pytest.raises(ValueError, match=r"labels have shape \(4, 2\), wanted \(4, 3\): 0 or 1 for every label"):
        model(**(batch | {"labels": labels[:, :2].float()}))


@every_head("ForSequenceClassification")
def test_labels_of_the_wrong_kind_are_refused(family: Family, head: str) -> None:
    model, batch = make(family, head, num_labels=3, problem_type="single_label_classification")
    with pytest.raises(ValueError, match=r"wanted \(4,\): a class a protein"):
        model(**(batch | {"labels": torch.zeros(4, 3, dtype=torch.long)}))
    model, batch = make(family, head, num_labels=2, class_weights=[1.0, 2.0])
    with pytest.raises(ValueError, match="class_weights mean nothing for problem_type='multi_label_classification'"):
        model(**(batch | {"labels": torch.zeros(4, 2)}))


# Generation


@every_head("CausalLM", column="generate", says="works")
@pytest.mark.parametrize("beams", [1, 3])
def test_next_residue_models_generate_with_and_without_their_state(family: Family, head: str, beams: int) -> None:
    model, _ = make(family, head)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    prompt = torch.tensor([[0, 0, 24, 5], [24, 3, 7, 9]])
    asked = {"attention_mask": (prompt != 0).long(), "max_new_tokens": 8, "do_sample": False, "num_beams": beams}
    found = model.generate(prompt, **asked)
    assert found.shape[1] > prompt.shape[1]
    assert torch.equal(found, model.generate(prompt, use_cache=False, **asked))
    alone = model.generate(prompt[:1, 2:], **(asked | {"attention_mask": None}))  # padding on the left adds nothing
    assert found[0, 2 : 2 + alone.shape[1]].tolist() == alone[0].tolist()
    if beams == 1:  # each token is the likeliest after those before it
        with torch.no_grad():
            logits = model(found[1:2]).logits
        stop = (found[1] == 25).nonzero()
        last = int(stop[0]) if len(stop) else found.shape[1] - 1
        assert logits[0, 3:last].argmax(-1).tolist() == found[1, 4 : last + 1].tolist()


@every_head("CausalLM", column="generate", says="works")
def test_a_state_is_carried_on(family: Family, head: str) -> None:
    model, batch = make(family, head)
    ids = batch["input_ids"][2:3]
    whole = model(ids).logits
    head = model(ids[:, :6], use_cache=True)
    rest = model(ids[:, 6:], state=head.state)
    torch.testing.assert_close(torch.cat([head.logits, rest.logits], 1), whole)
    assert model(ids).state is None


@every_head("CausalLM", "MaskedLM", "PreTraining", column="generate", says="refused")
def test_others_do_not_generate(family: Family, head: str) -> None:
    model, batch = make(family, head)
    with pytest.raises(Exception, match="generate"):
        model.generate(batch["input_ids"])
