"""The speedrun's stages on a CPU: a call that ends in time, the next one that goes on, and weights that travel."""

from __future__ import annotations

import json
import time

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.gpu import speedrun
from seqformers import KmerBertConfig, KmerBertForMaskedLM


@pytest.fixture
def run(tmp_path):
    speedrun.toy_genomes(tmp_path / "work" / "genomes")
    (tmp_path / "out").mkdir()

    def make(limit):
        found = speedrun.Speedrun(speedrun.TOY, tmp_path / "work", tmp_path / "out", time.monotonic() + limit)
        found._keep("speed", {"result": [{"result": {"rows": {"ours": {"nt_per_second": 1e6}}}}]})
        return found

    return make


def test_a_call_that_is_over_is_gone_on_with(run, tmp_path):
    first = run(1000)
    first.deadline = time.monotonic() + 5.5  # over after the first step
    with pytest.raises(speedrun.OutOfTimeError):
        _late(first)
    stopped = json.loads((tmp_path / "work" / "curve-3.jsonl").read_text().splitlines()[-1])["step"]
    assert 0 < stopped < 8 and not (tmp_path / "work" / "virbert-3").exists()
    result = run(1000).pretrain(3)
    assert result["steps"] == 8 and 0 <= result["metrics"]["validation"]["masked_accuracy"]["mean"] <= 1
    curve = [json.loads(line) for line in (tmp_path / "work" / "curve-3.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in curve]
    assert steps == sorted({0, stopped, 4, 8}) and [row["minutes"] for row in curve] == sorted(
        row["minutes"] for row in curve
    )
    assert all(0 <= row["macro_recall"] <= 1 for row in curve)


def _late(found):
    """Pretrain with a clock that is over once training began."""
    check = found._check_time
    found._check_time = lambda *seconds: (check(0.0), setattr(found, "deadline", time.monotonic()))[0]
    return found.pretrain(3)


def test_without_time_nothing_is_begun_and_results_are_written(run, tmp_path):
    late = run(0)
    assert not late.run()
    assert list(json.loads((tmp_path / "out" / "speedrun.json").read_text())["stages"]) == ["speed"]


def test_at_full_size_no_more_than_eight_files_of_fifteen_megabytes_travel():
    settings = speedrun.Settings()
    with torch.device("meta"):
        model = KmerBertForMaskedLM(KmerBertConfig(k=6, **speedrun.shape(settings.shape)))
    shards = speedrun.half_shards(model)
    assert sum(parameter.numel() for parameter in model.parameters()) > 25e6  # bert-medium
    assert len(shards) + len(("speedrun.json", "speedrun-config.json")) <= 8
    assert all(sum(tensor.nbytes for tensor in shard.values()) < (15 << 20) - 10_000 for shard in shards)


def test_weights_travel_in_shards(run, tmp_path, monkeypatch):
    monkeypatch.setattr(speedrun, "_SHARD", 20_000)
    found = run(1000)
    scores = {1: 0.7, 3: 0.8}
    for stride in (1, 3):
        metrics = {"validation": {"macro_recall": {"mean": scores[stride]}}}
        found._keep(f"pretrained, stride {stride}, 60 nt", {"result": {"metrics": metrics}})
    config = KmerBertConfig(k=3, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    model = KmerBertForMaskedLM(config)
    model.save_pretrained(tmp_path / "work" / "virbert-3")
    result = found.export()
    assert result["stride"] == 3 and result["shards"] > 1
    weights = {}
    for path in sorted((tmp_path / "out").glob("speedrun-weights-*.safetensors")):
        part = load_file(path)
        assert len(part) == 1 or path.stat().st_size < 30_000
        weights |= part
    again = KmerBertForMaskedLM(KmerBertConfig(**json.loads((tmp_path / "out" / "speedrun-config.json").read_text())))
    missing = again.load_state_dict(weights, strict=False)
    assert not missing.unexpected_keys and all(
        key.startswith("cls.predictions.decoder") for key in missing.missing_keys
    )
    ids = torch.randint(5, 69, (2, 9))
    torch.testing.assert_close(again.eval()(ids).logits, model.eval()(ids).logits, atol=2e-3, rtol=2e-2)
