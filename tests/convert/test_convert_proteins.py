"""Checkpoints in the originals' layout come out as repositories with the same outputs."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoTokenizer

from seqformers import (
    PElmoForPairClassification,
    PElmoForPreTraining,
    PlusRnnForPairClassification,
    ProteinBertForMaskedLM,
    ProteinBertForPairClassification,
    ProteinBertForPreTraining,
    ProteinBertModel,
)
from seqformers.convert import convert
from tests.conftest import golden_cases

(PLUS,) = [case for case in golden_cases("plus_models") if case["kind"] == "tiny_model"]
(TAPE,) = [case for case in golden_cases("tape_models") if case["kind"] == "tiny_transformer"]


def saved(state, path, **wrapper):
    tensors = {name: torch.tensor(value) for name, value in state.items()}
    torch.save({**wrapper, "state_dict": tensors} if wrapper else tensors, path)
    return path


@pytest.mark.parametrize("parallel", [False, True])
def test_plus_rnn_golden(tmp_path, parallel):
    state = {f"module.{name}" if parallel else name: value for name, value in PLUS["state_dict"].items()}
    out = convert("plus", saved(state, tmp_path / "plus.pt"), tmp_path / "out")
    model = PlusRnnForPairClassification.from_pretrained(out).eval()
    tokenizer = AutoTokenizer.from_pretrained(out)
    batch = tokenizer(PLUS["sequences_a"], PLUS["sequences_b"], padding=True, return_tensors="pt")
    output = model(**batch)
    torch.testing.assert_close(output.scores, torch.tensor(PLUS["soft_align_scores"]), atol=2e-6, rtol=0)
    torch.testing.assert_close(output.ordinal_logits, torch.tensor(PLUS["ordinal_logits"]), atol=5e-6, rtol=0)


@pytest.mark.parametrize("wrapped", [False, True])
def test_tape_transformer_golden(tmp_path, wrapped):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "config.json").write_text('{"num_attention_heads": 2}')
    saved(TAPE["state_dict"], folder / "pytorch_model.bin", **({"epoch": 1} if wrapped else {}))
    out = convert("tape", folder, tmp_path / "out")
    model = ProteinBertForMaskedLM.from_pretrained(out).eval()
    batch = AutoTokenizer.from_pretrained(out)(TAPE["sequences"], padding=True, return_tensors="pt")
    assert batch["input_ids"].tolist() == TAPE["input_ids"]
    torch.testing.assert_close(
        model(**batch).logits[:, 3], torch.tensor(TAPE["mlm_logits_last_position"]), atol=5e-6, rtol=0
    )


def test_tape_encoder_without_decoder(tmp_path):
    state = {name: value for name, value in TAPE["state_dict"].items() if not name.startswith("mlm")}
    source = saved(state, tmp_path / "encoder.pt")
    (tmp_path / "config.json").write_text('{"num_attention_heads": 2}')
    model = ProteinBertModel.from_pretrained(convert("tape", source, tmp_path / "out")).eval()
    output = model(torch.tensor(TAPE["input_ids"]), torch.tensor(TAPE["attention_mask"]))
    torch.testing.assert_close(output.pooler_output, torch.tensor(TAPE["pooled_output"]), atol=5e-6, rtol=0)


@pytest.mark.parametrize(("name", "message"), [("plus", "no checkpoint of PLUS"), ("tape", "no checkpoint of TAPE")])
def test_other_weights_are_refused(tmp_path, name, message):
    source = saved({"linear.weight": [[1.0]]}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=message):
        convert(name, source, tmp_path / "out")
    (tmp_path / "text.pt").write_text("not weights")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        convert(name, tmp_path / "text.pt", tmp_path / "out")


# PLUS-TFM and P-ELMo: checkpoints made up in the originals' layout, against their formulas written out again

WIDTH, VOCABULARY = 128, 25  # two heads of 64


def random_state(shapes):
    torch.manual_seed(0)
    return {name: torch.randn(shape) * 0.1 + name.endswith("gamma") for name, shape in shapes.items()}


def tfm_state(outputs):
    linear = {"attn.proj_q": (128, 128), "attn.proj_k": (128, 128), "attn.proj_v": (128, 128), "proj": (128, 128)}
    linear |= {"pwff.fc1": (32, 128), "pwff.fc2": (128, 32)}
    shapes = {
        "transformer.embed.tok_embed.weight": (VOCABULARY, WIDTH),
        "transformer.embed.seg_embed.weight": (2, 128),
    }
    norms = ["transformer.embed.norm", "norm_lm"]
    for layer in range(2):
        for name, (out, inside) in linear.items():
            place = f"transformer.blocks.{layer}.{name}"
            shapes |= {f"{place}.weight": (out, inside), f"{place}.bias": (out,)}
        norms += [f"transformer.blocks.{layer}.norm{number}" for number in (1, 2)]
    shapes |= {f"{norm}.{part}": (WIDTH,) for norm in norms for part in ("gamma", "beta")}
    shapes |= {"fc_lm.weight": (WIDTH, WIDTH), "fc_lm.bias": (WIDTH,), "decoder_bias": (VOCABULARY,)}
    shapes |= {"cls.weight": (outputs, WIDTH), "cls.bias": (outputs,)}
    state = random_state(shapes)
    state["decoder.weight"] = state["transformer.embed.tok_embed.weight"]
    state["transformer.embed.pos_embed.pe"] = torch.zeros(1, 515, WIDTH)
    return state


def tfm_logits(state, ids, segments):
    """Residue and pair logits of one row without padding, by the specification of PLUS-TFM."""

    def norm(x, name):
        centred = x - x.mean(-1, keepdim=True)
        return state[f"{name}.gamma"] * centred / (x.std(-1, keepdim=True) + 1e-12).sqrt() + state[f"{name}.beta"]

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    position = torch.arange(len(ids))[:, None] / 10000 ** (torch.arange(0, WIDTH, 2) / WIDTH)
    positions = torch.stack([position.sin(), position.cos()], -1).flatten(1)
    words = state["transformer.embed.tok_embed.weight"]
    x = norm(words[ids] + positions + state["transformer.embed.seg_embed.weight"][segments], "transformer.embed.norm")
    for layer in range(2):
        block = f"transformer.blocks.{layer}"
        q, k, v = (linear(x, f"{block}.attn.proj_{name}").view(len(ids), 2, 64).transpose(0, 1) for name in "qkv")
        heads = (q @ k.transpose(1, 2) / 8).softmax(-1) @ v
        x = norm(x + linear(heads.transpose(0, 1).flatten(1), f"{block}.proj"), f"{block}.norm1")
        inner = torch.nn.functional.gelu(linear(x, f"{block}.pwff.fc1"))
        x = norm(x + linear(inner, f"{block}.pwff.fc2"), f"{block}.norm2")
    hidden = norm(torch.nn.functional.gelu(linear(x, "fc_lm")), "norm_lm")
    return hidden @ words.T + state["decoder_bias"], linear(x[0], "cls")


@pytest.mark.parametrize("outputs", [2, 5])
def test_plus_tfm(tmp_path, outputs):
    state = tfm_state(outputs)
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "tfm.pt")
    out = convert("plus", tmp_path / "tfm.pt", tmp_path / "out")
    batch = AutoTokenizer.from_pretrained(out)("MKTAYI", "MKTW", return_tensors="pt")
    assert batch["input_ids"].tolist() == [[23, 13, 12, 17, 1, 19, 10, 24, 13, 12, 17, 18, 24]]
    residues, pair = tfm_logits(state, batch["input_ids"][0], batch["token_type_ids"][0])
    with torch.no_grad():
        if outputs == 2:
            output = ProteinBertForPreTraining.from_pretrained(out).eval()(**batch)
            torch.testing.assert_close(output.prediction_logits[0], residues, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(output.similarity_logits[0], pair, atol=1e-4, rtol=1e-4)
        else:
            output = ProteinBertForPairClassification.from_pretrained(out).eval()(**batch)
            torch.testing.assert_close(output.logits[0], pair, atol=1e-4, rtol=1e-4)
    del state["transformer.blocks.1.norm2.beta"]
    torch.save(state, tmp_path / "torn.pt")
    with pytest.raises(ValueError, match="does not fit PLUS-TFM: missing"):
        convert("plus", tmp_path / "torn.pt", tmp_path / "torn")


def p_elmo_states():
    """The language model (width 4, two layers) and the encoder (width 3, two layers, four thresholds)."""
    torch.manual_seed(0)
    layers = torch.nn.ModuleList([torch.nn.LSTM(width, 4, batch_first=True) for width in (21, 4)])
    rnn = torch.nn.LSTM(5, 3, 2, batch_first=True, bidirectional=True)
    language_model = {f"rnn.{name}": value for name, value in layers.state_dict().items()}
    language_model |= random_state({"embed.weight": (22, 21), "decoder.weight": (21, 4), "decoder.bias": (21,)})
    encoder = {f"rnn.{name}": value for name, value in rnn.state_dict().items()}
    encoder |= random_state(
        {
            "fc_lm.weight": (5, 16), "fc_lm.bias": (5,), "x_embed.weight": (21, 5), "fc.weight": (2, 6),
            "fc.bias": (2,), "decoder.weight": (21, 6), "decoder.bias": (21,), "ordinal_weight": (1, 4),
            "ordinal_bias": (4,),
        }
    )  # fmt: skip
    encoder["x_embed.weight"][20] = language_model["embed.weight"][21] = 0  # X
    return language_model, encoder, layers, rnn


def p_elmo_reference(states, ids):
    """Residue logits and Z of one protein (start and stop included), by the specification of P-ELMo."""
    language_model, encoder, layers, rnn = states
    ahead = language_model["embed.weight"][ids][None]
    back, features = ahead.flip(1), []
    for layer in layers:
        ahead, back = layer(ahead)[0], layer(back)[0]
        features += [ahead[0, :-2], back.flip(1)[0, 2:]]  # what stands before and behind each residue
    logits = (features[-2] + features[-1]) @ language_model["decoder.weight"].T + 2 * language_model["decoder.bias"]
    own = encoder["x_embed.weight"][ids[1:-1] - 1]
    hidden = torch.relu(torch.cat(features, -1) @ encoder["fc_lm.weight"].T + encoder["fc_lm.bias"] + own)
    return logits, rnn(hidden[None])[0][0] @ encoder["fc.weight"].T + encoder["fc.bias"]


@torch.no_grad()
def test_p_elmo(tmp_path):
    states = p_elmo_states()
    torch.save(states[0], tmp_path / "lm.pt")
    torch.save(states[1], tmp_path / "encoder.pt")
    proteins = ["MKTAYI", "MXW"]
    with pytest.raises(ValueError, match="language model with --full"):
        convert("plus", tmp_path / "encoder.pt", tmp_path / "out")
    out = convert("plus", tmp_path / "lm.pt", tmp_path / "lm")
    batch = AutoTokenizer.from_pretrained(out)(proteins, padding=True, return_tensors="pt")
    logits = PElmoForPreTraining.from_pretrained(out).eval()(**batch).logits
    out = convert("plus", tmp_path / "encoder.pt", tmp_path / "out", full=tmp_path / "lm.pt")
    model = PElmoForPairClassification.from_pretrained(out).eval()
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    z = model.projection(model.p_elmo(**inputs).last_hidden_state)
    for row, protein in enumerate(proteins):
        n = len(protein)
        expected_logits, expected_z = p_elmo_reference(states, batch["input_ids"][row, : n + 2])
        torch.testing.assert_close(logits[row, 1 : n + 1], expected_logits)
        torch.testing.assert_close(z[row, 1 : n + 1], expected_z)
    assert model.config.num_labels == 5 and torch.equal(model.ordinal_bias, states[1]["ordinal_bias"])
