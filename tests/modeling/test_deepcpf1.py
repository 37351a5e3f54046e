"""DeepCpf1: layer list, published behaviour, two-stage training, the encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqformers import DeepCpf1Config, DeepCpf1Model, DeepCpf1Processor

TARGETS = ["TGACTTTGAATGGAGTCGTGAGCGCAAGAACGCT", "GTTATTTGAGCAATGCCACTTAATAAACATGTAA"]


def tiny(**options):
    torch.manual_seed(0)
    options = {"num_filters": 6, "hidden_sizes": [5, 4]} | options
    return DeepCpf1Model(DeepCpf1Config(**options)).eval()


class TestNetwork:
    def test_parameters_are_the_published_ones(self):
        assert DeepCpf1Model(DeepCpf1Config()).num_parameters() == 102_681
        full = DeepCpf1Model(DeepCpf1Config(use_accessibility=True))
        # 102,761 of DeepCpf1, and the output layer of Seq-deepCpf1 kept beside its own
        assert full.num_parameters() == 102_761 + 41

    def test_initial_weights_are_glorot_with_zero_biases(self):
        torch.manual_seed(0)
        model = DeepCpf1Model(DeepCpf1Config())
        for module in model.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv1d):
                fan = module.weight[0].numel() + module.weight.transpose(0, 1)[0].numel()
                bound = (6 / fan) ** 0.5
                assert not module.bias.any()
                assert 0.8 * bound < module.weight.abs().max() <= bound

    def test_unknown_letters_are_zero_columns(self):
        model = tiny()
        ids = torch.tensor([[0, 1, 2, 3] * 8 + [4, 9]])
        one_hot = torch.nn.functional.one_hot(ids.clamp(max=4), 5)[..., :4].float()
        assert torch.equal(model(ids).logits, model(inputs_embeds=one_hot).logits)
        assert not torch.equal(model(ids).logits, model(torch.tensor([[0, 1, 2, 3] * 8 + [0, 0]])).logits)

    def test_a_context_of_another_length_is_refused(self):
        with pytest.raises(ValueError, match="33 letters; this model reads 34"):
            tiny()(torch.zeros(1, 33, dtype=torch.long))

    def test_no_convolution_is_a_perceptron(self):
        model = tiny(num_filters=0)
        assert model.convolution is None
        assert model.dense[0].in_features == 34 * 4

    def test_accessibility_needs_its_layer(self):
        with pytest.raises(ValueError, match="no accessibility layer"):
            tiny()(torch.zeros(1, 34, dtype=torch.long), accessibility=torch.ones(1))
        with pytest.raises(ValueError, match="no accessibility layer"):
            tiny().freeze_sequence_layers()

    def test_layers_are_convolution_mean_pooling_and_dense(self):
        model = tiny(kernel_size=4, pool_size=3, output_scale=30)
        one_hot = torch.nn.functional.one_hot(torch.randint(0, 4, (3, 34)), 4).float()
        hidden = torch.nn.functional.relu(model.convolution(one_hot.transpose(1, 2)))
        hidden = torch.nn.functional.avg_pool1d(hidden, 3).transpose(1, 2).flatten(1)  # 31 positions: one is left over
        for layer in model.dense:
            hidden = torch.relu(layer(hidden))
        output = model(inputs_embeds=one_hot)
        torch.testing.assert_close(output.pooled_states, hidden)
        torch.testing.assert_close(output.logits, 30 * model.sequence_output(hidden)[:, 0])

    def test_sample_weights_scale_the_error_of_their_rows(self):
        model = tiny()
        ids, labels = torch.randint(0, 4, (4, 34)), torch.tensor([0.0, 10.0, 20.0, 30.0])
        weighted = model(ids, labels=labels, sample_weight=torch.tensor([0.0, 2.0, 2.0, 0.0])).loss
        torch.testing.assert_close(weighted, model(ids[1:3], labels=labels[1:3]).loss)

    def test_impossible_shapes_are_refused(self):
        with pytest.raises(ValueError, match="nothing is left"):
            DeepCpf1Config(context_length=5, kernel_size=5)
        with pytest.raises(ValueError, match="hidden_sizes"):
            DeepCpf1Config(hidden_sizes=[])


class TestTraining:
    def test_the_second_stage_moves_121_parameters_and_nothing_else(self):
        model = DeepCpf1Model(DeepCpf1Config(use_accessibility=True))
        assert model.freeze_sequence_layers() == 121
        before = {name: value.clone() for name, value in model.named_parameters()}
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        ids, labels = torch.randint(0, 4, (8, 34)), torch.linspace(0, 80, 8)
        for _ in range(3):
            model(ids, accessibility=torch.arange(8) % 2, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
        assert moved and all(name.startswith("accessibility_") for name in moved)

    def test_the_second_stage_survives_loading(self, tmp_path):
        tiny().save_pretrained(tmp_path)
        model = DeepCpf1Model.from_pretrained(tmp_path, use_accessibility=True, accessibility_only=True)
        before = {name: value.clone() for name, value in model.named_parameters()}
        ids, labels = torch.randint(0, 4, (8, 34)), torch.linspace(0, 80, 8)
        optimizer = torch.optim.AdamW(model.parameters(), 0.01)
        model(ids, accessibility=torch.ones(8), labels=labels).loss.backward()
        optimizer.step()
        moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
        assert moved and all(name.startswith("accessibility_") for name in moved)
        with pytest.raises(ValueError, match="give their accessibility"):
            model(ids, labels=labels)

    def test_stock_trainer_learns_gc_content(self, tmp_path):
        from transformers import Trainer, TrainingArguments, set_seed

        set_seed(1)
        ids = np.random.default_rng(0).integers(0, 4, (600, 34))
        labels = ((ids == 1) | (ids == 2)).mean(1) * 100
        rows = [{"input_ids": x, "labels": float(y)} for x, y in zip(ids, labels, strict=True)]
        arguments = TrainingArguments(
            tmp_path, num_train_epochs=12, per_device_train_batch_size=32, learning_rate=2e-3, report_to=[],
            use_cpu=True, save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        trainer = Trainer(tiny(num_filters=16, hidden_sizes=[16]), arguments, train_dataset=rows[:500])
        trainer.train()
        predictions = trainer.predict(rows[500:]).predictions
        assert predictions.shape == (100,)
        assert np.corrcoef(predictions, labels[500:])[0, 1] > 0.6


class TestProcessor:
    def test_letters(self):
        codes = DeepCpf1Processor(8).encode(["ACGTacgu", "NRTU-*?é"])
        assert codes.tolist() == [[0, 1, 2, 3, 0, 1, 2, 3], [4, 4, 3, 3, 4, 4, 4, 4]]

    @given(st.lists(st.text(min_size=9, max_size=9), min_size=1, max_size=5))
    def test_any_text_is_encoded_letter_by_letter(self, texts):
        table = {"A": 0, "C": 1, "G": 2, "T": 3, "U": 3}
        expected = [[table.get(letter.upper(), 4) if letter.isascii() else 4 for letter in text] for text in texts]
        assert DeepCpf1Processor(9).encode(texts).tolist() == expected

    def test_wrong_lengths_name_the_record(self):
        with pytest.raises(ValueError, match=r"record 1 \('ACG'\) has 3 letters, expected 34"):
            DeepCpf1Processor()(["A" * 34, "ACG"])

    @pytest.mark.parametrize(("values", "message"), [([1, 2], "record 1: accessibility is 2"), ([1], "1 accessib")])
    def test_wrong_accessibility_is_refused(self, values, message):
        with pytest.raises(ValueError, match=message):
            DeepCpf1Processor()(TARGETS, accessibility=values)

    def test_unknown_letters_are_counted(self, monkeypatch):
        from seqformers.modeling.guides import processing_deepcpf1

        said = []
        monkeypatch.setattr(processing_deepcpf1.logger, "warning", said.append)
        DeepCpf1Processor()([TARGETS[0], "N" + TARGETS[0][1:]])
        assert "1 of 2 contexts" in said[0] and "first: record 1" in said[0]


class TestRepository:
    def test_auto_classes_load_what_was_saved(self, tmp_path):
        from transformers import AutoModel, AutoProcessor

        from seqformers.hub.repository import write_model_repository

        model = tiny(use_accessibility=True)
        write_model_repository(tmp_path, model, processor=DeepCpf1Processor())
        batch = AutoProcessor.from_pretrained(tmp_path)(TARGETS, accessibility=[0, 1], return_tensors="pt")
        again = AutoModel.from_pretrained(tmp_path).eval()
        assert torch.equal(again(**batch).logits, model(**batch).logits)
