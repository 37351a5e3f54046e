"""TargetNet: sites, encoding and network against the reference cases and slow references."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqformers import TargetNetConfig, TargetNetModel, TargetNetProcessor
from seqformers.modeling.targets.modeling_targetnet import NO_SITE
from seqformers.modeling.targets.targetnet_sites import (
    CRITERIA,
    align_seed,
    draw_alignments,
    encode_rna,
    find_sites,
    plan_site_jobs,
)
from tests.conftest import golden_cases

CASES = golden_cases("targetnet")
PAIRS = {"AU", "UA", "GC", "CG", "GU", "UG"}
WC = {"AU", "UA", "GC", "CG"}
LET7 = "UGAGGUAGUAGGUUGUAUAGUU"


def cases(kind):
    return [case for case in CASES if case["kind"] == kind]


@pytest.fixture(scope="module")
def published(checkpoints, tmp_path_factory):
    from seqformers.convert import convert

    folder = convert(
        "targetnet", checkpoints / "targetnet" / "TargetNet.pt", tmp_path_factory.mktemp("targetnet") / "m"
    )
    return TargetNetModel.from_pretrained(folder).eval()


# The slow, obvious version: one window at a time, the whole table, the tie rule word by word.


def slow_align(mirna, site):
    table = [[0] * (len(site) + 1) for _ in range(len(mirna) + 1)]
    for i, a in enumerate(mirna, 1):
        for j, b in enumerate(site, 1):
            table[i][j] = max(table[i - 1][j], table[i][j - 1], table[i - 1][j - 1] + (a + b in PAIRS))
    i, j, top, bottom = len(mirna), len(site), "", ""
    while i > 0 and j > 0:
        if table[i][j - 1] == table[i][j]:
            j, top, bottom = j - 1, "-" + top, site[j - 1] + bottom
        elif table[i - 1][j - 1] + (mirna[i - 1] + site[j - 1] in PAIRS) == table[i][j]:
            i, j, top, bottom = i - 1, j - 1, mirna[i - 1] + top, site[j - 1] + bottom
        else:
            i, top, bottom = i - 1, mirna[i - 1] + top, "-" + bottom
    top, bottom = mirna[:i] + "-" * j + top, "-" * i + site[:j] + bottom
    return top, bottom, table[-1][-1]


def slow_ids(mirna, window_reversed, top, bottom):
    symbols = "ACGU-"
    ids = np.zeros((2, 50), np.uint8)
    for row, (text, column) in enumerate(
        ((top + mirna[10:], 5), (window_reversed[:5] + bottom + window_reversed[15:], 0))
    ):
        ids[row, column : column + len(text)] = [symbols.index(letter) + 1 for letter in text]
    return ids


def slow_sites(mirna, mrna, least=6):
    reverse = mrna[::-1]
    for pos in range(len(mrna) - 40, -1, -1):
        window = reverse[pos : pos + 40]
        top, bottom, score = slow_align(mirna[:10], window[5:15])
        if score >= least:
            yield len(mrna) - 40 - pos, score, slow_ids(mirna, window, top, bottom)


def slow_keep(criterion, mirna, window):
    """The criteria word by word, on a reversed window; the fixed register puts nucleotide i at window[4 + i]."""
    seed, ten = mirna[:10], window[5:15]
    paired = [i + 1 for i in range(min(len(mirna), 16)) if mirna[i] + window[5 + i] in WC]

    def run(first, length):
        return all(first + i in paired for i in range(length))

    if criterion == "all":
        return True
    if criterion == "pita":
        return run(1, 7) or run(2, 7) or len([i for i in paired if i <= 10]) >= 7
    if criterion == "targetscan":
        return run(2, 6) or run(13, 3) or run(14, 3) or run(4, 11) or run(5, 11)
    if criterion == "miraw-7-2:10":
        return slow_align(seed[1:], ten)[2] >= 7
    return slow_align(seed, ten)[2] >= (7 if criterion == "miraw-7-1:10" else 6)


def random_rna(rng, length, letters="ACGU"):
    return "".join(rng.choice(list(letters), length))


def sites_of(mirna, mrna, **options):
    return find_sites([encode_rna(mirna)], [encode_rna(mrna)], [0], **options)


class TestReferenceCases:
    @pytest.mark.parametrize("case", cases("alignment"), ids=lambda c: c["mirna10"] + c["cts_rev10"])
    def test_alignments(self, case):
        assert align_seed(case["mirna10"], case["cts_rev10"]) == (case["aln_mirna"], case["aln_cts"], case["score"])

    @pytest.mark.parametrize("case", cases("pair"), ids=lambda c: c["description"])
    def test_sites_and_encoding(self, case):
        every = sites_of(case["mirna"], case["mrna"], criterion="all")
        assert every.pairings[::-1].tolist() == case["window_scores"]
        assert len(every) == case["n_windows"] == every.num_windows
        assert len(sites_of(case["mirna"], case["mrna"], step=5)) == case["n_cts_step5"]
        sites = sites_of(case["mirna"], case["mrna"])
        assert len(sites) == case["n_cts"]
        hot = TargetNetModel(TargetNetConfig()).embed(torch.from_numpy(sites.input_ids)).contiguous().numpy()
        drawn = draw_alignments(sites.input_ids, sites.pairings)
        for k, cts in enumerate(reversed(case["cts"])):
            assert sites.start[k] == cts["mrna_start_5p"]
            assert drawn[k].split("/")[::2] == [cts["mirna_aln"], cts["cts_rev_aln"]]
            assert hashlib.sha256(hot[k].astype("<f4").tobytes()).hexdigest() == cts["enc_sha256"]

    @pytest.mark.parametrize("case", cases("plain_encoding"), ids=lambda c: c["cts_rev"][:10])
    def test_encoding_without_alignment(self, case):
        sites = sites_of(case["mirna"], case["cts_rev"][::-1], criterion="all", encode_alignment=False)
        model = TargetNetModel(TargetNetConfig(encode_alignment=False))
        hot = model.embed(torch.from_numpy(sites.input_ids)).contiguous().numpy()[0]
        assert list(hot.shape) == case["shape"]
        assert hashlib.sha256(hot.tobytes()).hexdigest() == case["sha256"]

    @pytest.mark.parametrize("case", cases("written_out"), ids=lambda c: c["mirna"])
    def test_matrix_written_out(self, case):
        sites = sites_of(case["mirna"], case["cts_rev"][::-1])
        hot = TargetNetModel(TargetNetConfig()).embed(torch.from_numpy(sites.input_ids))
        assert hot[0].tolist() == case["matrix"]

    @pytest.mark.parametrize("case", cases("pair"), ids=lambda c: c["description"])
    def test_published_scores(self, case, published):
        processor = TargetNetProcessor()
        inputs = processor(case["mirna"], case["mrna"])
        with torch.inference_mode():
            output = published(inputs["input_ids"], pair_index=inputs["pair_index"], num_pairs=inputs["num_pairs"])
        logits = [cts["logit"] for cts in reversed(case["cts"])]
        np.testing.assert_allclose(output.site_logits.numpy(), logits, atol=1e-4)
        assert output.logits.sigmoid().item() == pytest.approx(case["pair_score"], abs=1e-5)

    def test_published_constants(self, published):
        case = cases("constants")[0]
        with torch.inference_mode():
            assert published(torch.zeros(1, 2, 50)).logits.item() == pytest.approx(case["logit_on_zeros"], abs=1e-5)
            ones = published(inputs_embeds=torch.ones(1, 10, 50)).logits.item()
        assert ones == pytest.approx(case["logit_on_ones"], abs=1e-4)


class TestAgainstSlowReference:
    def test_100_000_random_windows(self):
        rng = np.random.default_rng(0)
        mirnas = [
            random_rna(rng, rng.integers(17, 26), letters) for letters in ["ACGU"] * 36 + ["GU", "AU", "AG", "C"]
        ]
        mrnas = [random_rna(rng, 2539, letters) for letters in ["ACGU"] * 36 + ["GU", "AU", "CU", "GA"]]
        sites = find_sites([encode_rna(x) for x in mirnas], [encode_rna(x) for x in mrnas], range(40), criterion="all")
        assert sites.num_windows == len(sites) == 100_000
        expected = [
            (pair, start, score, ids)
            for pair, (mirna, mrna) in enumerate(zip(mirnas, mrnas, strict=True))
            for start, score, ids in slow_sites(mirna, mrna, least=0)
        ]
        assert sites.pair.tolist() == [row[0] for row in expected]
        assert sites.start.tolist() == [row[1] for row in expected]
        assert sites.pairings.tolist() == [row[2] for row in expected]
        assert np.array_equal(sites.input_ids, np.stack([row[3] for row in expected]))

    @given(st.text("ACGU", min_size=10, max_size=10), st.text("ACGU", min_size=10, max_size=10))
    def test_alignment_of_anything(self, mirna, site):
        assert align_seed(mirna, site) == slow_align(mirna, site)

    def test_alignment_as_biopython_draws_it(self):
        pairwise2 = pytest.importorskip("Bio.pairwise2")
        scores = {(a, b): float(a + b in PAIRS) for a in "ACGU" for b in "ACGU"}
        rng = np.random.default_rng(1)
        for letters in ["ACGU"] * 1500 + ["GU", "AU"] * 100:
            a, b = random_rna(rng, 10, letters), random_rna(rng, 10, letters)
            first = pairwise2.align.globaldx(a, b, scores, one_alignment_only=True)[0]
            assert align_seed(a, b) == (first.seqA, first.seqB, first.score)

    @pytest.mark.parametrize("criterion", CRITERIA)
    @pytest.mark.parametrize("step", [1, 5])
    def test_selection_criteria(self, criterion, step):
        rng = np.random.default_rng(2)
        for trial in range(6):
            mirna, mrna = random_rna(rng, 16 + trial), random_rna(rng, 400)
            if trial < 3:  # plant what the rules look for: a full match
                site = mirna[:16][::-1].translate(str.maketrans("ACGU", "UGCA"))
                mrna = mrna[:100] + site + mrna[116:]
            got = sites_of(mirna, mrna, criterion=criterion, step=step).start.tolist()
            reverse = mrna[::-1]
            kept = [p for p in range(0, len(mrna) - 39, step) if slow_keep(criterion, mirna, reverse[p : p + 40])]
            assert got == [len(mrna) - 40 - pos for pos in reversed(kept)]
            assert criterion != "targetscan" or trial >= 3 or got or step > 1

    @pytest.mark.parametrize("step", [1, 5])
    @pytest.mark.parametrize("max_windows", [7, 64, 1000])
    def test_batches_change_nothing(self, step, max_windows):
        rng = np.random.default_rng(3)
        mirnas = [encode_rna(random_rna(rng, n)) for n in (22, 18, 24)]
        mrnas = [encode_rna(random_rna(rng, n)) for n in (300, 20, 0, 40, 41, 130)]
        pairs = [(i, j) for i in range(3) for j in range(6)]
        whole = find_sites(mirnas, [mrnas[j] for _, j in pairs], [i for i, _ in pairs], step=step)
        jobs = list(plan_site_jobs(mrnas, pairs, max_windows=max_windows, step=step))
        parts = [job.find(mirnas, step=step) for job in jobs]
        assert [number for job in jobs for number in job.ended] == list(range(18))
        assert max(sum(max(0, len(x) - 39) for x in job.segments) for job in jobs) <= max(max_windows, step)
        for name in ("pair", "start", "pairings", "input_ids", "site_type"):
            assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name)), name
        assert sum(part.num_windows for part in parts) == whole.num_windows


@pytest.mark.parametrize(
    ("ten_and_flanks", "kind"),
    [
        # miRNA 5' UGAGGUAG..; the site's 5'->3' bases opposite nucleotides 8..1
        ("GCCACUACCUCAGG", 4),
        ("GCCACUACCUCGGG", 3),
        ("GCCAAUACCUCAGG", 2),
        ("GCCAAUACCUCGGG", 1),
        ("GCCAAUACAUCAGG", 0),
    ],
)
def test_canonical_site_types(ten_and_flanks, kind):
    mrna = "G" * 20 + ten_and_flanks + "G" * 26
    sites = sites_of(LET7, mrna, criterion="all")
    at_register = 20 + 11 - 34  # the base opposite nucleotide 1 is the window's 35th
    best = {int(start): int(value) for start, value in zip(sites.start, sites.site_type, strict=True)}
    assert best.get(at_register, max(best.values())) == kind
    assert max(best.values()) == kind


class TestProcessor:
    def test_letters(self):
        processor = TargetNetProcessor()
        utr = "A" * 25 + "CUACCUCA" + "G" * 10
        plain = processor(LET7, utr)["input_ids"]
        mixed = processor(LET7.lower().replace("u", "t"), utr.lower().replace("U", "T"))["input_ids"]
        assert torch.equal(plain, mixed)

    def test_unknown_letters_pair_with_nothing(self):
        utr = "A" * 25 + "CUACCUCA" + "G" * 10
        sites = sites_of(LET7, utr[:27] + "N" + utr[28:], criterion="all")
        assert sites.pairings[0] == sites_of(LET7, utr, criterion="all").pairings[0] - 1
        assert (sites.input_ids[0, 1, 5 : 25 - sites.pairings[0]] == 0).sum() == 1
        assert (sites_of("N" * 10, utr, criterion="all").pairings == 0).all()

    @pytest.mark.parametrize(
        ("mirna", "mrna", "message"),
        [
            ("UGAGGUAGU", "A" * 50, "10 to 41 nucleotides"),
            ("U" * 42, "A" * 50, "10 to 41 nucleotides"),
            ("MKVLAAGIV", "A" * 50, r"'L' at position 4 .*protein"),
            (LET7, "ACGU*", r"mRNA 0: '\*' at position 5"),
        ],
    )
    def test_errors_name_the_record(self, mirna, mrna, message):
        with pytest.raises(ValueError, match=message):
            TargetNetProcessor()(mirna, mrna)

    def test_longest_mirna_fits(self):
        rng = np.random.default_rng(4)
        sites_of(random_rna(rng, 41), random_rna(rng, 3000))
        with pytest.raises(ValueError, match="does not fit"):
            sites_of(random_rna(rng, 42), random_rna(rng, 3000))

    def test_counts_must_agree(self):
        with pytest.raises(ValueError, match="2 miRNAs and 1 mRNAs"):
            TargetNetProcessor()([LET7, LET7], ["A" * 40])

    def test_saved_and_loaded_by_auto_classes(self, tmp_path):
        from transformers import AutoModel, AutoProcessor

        from seqformers.hub.repository import write_model_repository

        model = TargetNetModel(TargetNetConfig()).eval()
        write_model_repository(tmp_path, model, processor=TargetNetProcessor(criterion="pita", step=5))
        processor = AutoProcessor.from_pretrained(tmp_path)
        assert (processor.criterion, processor.step) == ("pita", 5)
        again = AutoModel.from_pretrained(tmp_path).eval()
        inputs = torch.randint(0, 6, (4, 2, 50))
        assert torch.equal(again(inputs).logits, model(inputs).logits)

    def test_a_stranger_without_the_package(self, tmp_path):
        import os
        import subprocess
        import sys

        from seqformers.hub.repository import write_model_repository

        write_model_repository(tmp_path / "m", TargetNetModel(TargetNetConfig()), processor=TargetNetProcessor())
        code = (
            "import sys; sys.modules['seqformers'] = None\n"
            "from transformers import AutoModel, AutoProcessor\n"
            f"p = AutoProcessor.from_pretrained({str(tmp_path / 'm')!r}, trust_remote_code=True)\n"
            f"m = AutoModel.from_pretrained({str(tmp_path / 'm')!r}, trust_remote_code=True)\n"
            "x = p('UGAGGUAGUAGGUUGUAUAGUU', 'ACGU' * 20)\n"
            "assert m(**{k: x[k] for k in p.model_input_names}).logits.shape == (1,)\n"
        )
        environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules")}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)


class TestModel:
    def test_number_of_parameters(self):
        assert sum(weight.numel() for weight in TargetNetModel(TargetNetConfig()).parameters()) == 8737

    def test_against_plain_layers(self, published):
        functional = torch.nn.functional
        weights = dict(published.named_parameters())
        x = torch.randint(0, 2, (5, 10, 50)).float()
        with torch.inference_mode():
            got = published(inputs_embeds=x).logits
            h = functional.relu(functional.conv1d(x, weights["stem.convs.0.weight"], padding=2))
            h = functional.conv1d(h, weights["stem.convs.1.weight"], padding=2)
            for block in ("blocks.0", "blocks.1"):
                y = functional.conv1d(functional.relu(h), weights[f"{block}.conv1.weight"], padding=1)
                y = functional.conv1d(functional.relu(y), weights[f"{block}.conv2.weight"], padding=1)
                y[:, : h.shape[1]] += h
                h = y
            h = functional.max_pool1d(functional.relu(h), 3).flatten(1)
            expected = h @ weights["classifier.weight"].T + weights["classifier.bias"]
        torch.testing.assert_close(got, expected[:, 0], atol=1e-5, rtol=1e-5)

    def test_initialisation_is_kaiming(self):
        torch.manual_seed(0)
        model = TargetNetModel(TargetNetConfig(channels=[64, 64, 64]))
        assert model.blocks[0].conv1.weight.std().item() == pytest.approx((2 / (64 * 3)) ** 0.5, rel=0.05)
        assert model.classifier.weight.std().item() == pytest.approx((2 / 1024) ** 0.5, rel=0.15)
        assert model.classifier.bias.item() == 0

    @pytest.mark.parametrize(
        "changes",
        [
            {"use_skip": False},
            {"channels": [8, 8, 16]},
            {"channels": [32, 32, 64]},
            {"num_blocks": [2, 2, 2]},
            {"encode_alignment": False},
            {"block_kernel_size": 4, "stem_kernel_size": 2},
            {"double_loss": True},
        ],
        ids=str,
    )
    def test_ablations_train(self, changes):
        config = TargetNetConfig(**changes)
        model = TargetNetModel(config)
        ids = torch.randint(0, config.num_symbols + 1, (6, 2, config.num_columns))
        output = model(ids, labels=torch.tensor([0, 1, 0, 1, 0, 1]))
        assert output.loss.dtype == (torch.float64 if config.double_loss else torch.float32)
        output.loss.backward()
        assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())

    def test_ids_and_matrix_agree(self):
        model = TargetNetModel(TargetNetConfig()).eval()
        ids = torch.randint(0, 6, (3, 2, 50), dtype=torch.uint8)
        torch.testing.assert_close(model(ids).logits, model(inputs_embeds=model.embed(ids)).logits)
        with pytest.raises(ValueError, match="either"):
            model(ids, inputs_embeds=model.embed(ids))

    def test_pairs_take_their_best_site(self):
        model = TargetNetModel(TargetNetConfig()).eval()
        ids = torch.randint(0, 6, (6, 2, 50))
        pair = torch.tensor([0, 0, 0, 2, 2, 4])
        output = model(ids, pair_index=pair, num_pairs=6)
        for k in range(6):
            mine = output.site_logits[pair == k]
            assert output.logits[k] == (mine.max() if len(mine) else NO_SITE)
        second = 3 + output.site_logits[3:5].argmax().item()
        assert output.best_site.tolist() == [output.site_logits[:3].argmax().item(), -1, second, -1, 5, -1]
        loss = model(ids, pair_index=pair, labels=torch.tensor([1, 1, 0, 0, 1, 0])).loss
        kept = torch.tensor([0, 2, 4])
        expected = torch.nn.functional.binary_cross_entropy_with_logits(
            output.logits[kept], torch.tensor([1.0, 0.0, 1.0])
        )
        assert loss.item() == pytest.approx(expected.item(), abs=1e-6)

    def test_of_equal_sites_the_first_is_named(self):
        model = TargetNetModel(TargetNetConfig()).eval()
        model.classifier.weight.data.zero_()  # equal inputs alone may differ in the last bit by their place in a batch
        output = model(torch.randint(0, 6, (5, 2, 50)), pair_index=torch.tensor([0, 0, 2, 2, 2]))
        assert output.best_site.tolist() == [0, -1, 2]

    def test_pair_loss_reaches_the_best_site_only(self):
        model = TargetNetModel(TargetNetConfig()).eval()
        embeds = model.embed(torch.randint(0, 6, (4, 2, 50))).requires_grad_()
        output = model(inputs_embeds=embeds, pair_index=torch.tensor([0, 0, 1, 1]), labels=torch.tensor([1, 0]))
        output.loss.backward()
        touched = embeds.grad.abs().sum((1, 2)) > 0
        assert sorted(output.best_site.tolist()) == touched.nonzero().flatten().tolist()

    def test_training_on_pairs_scores_the_others_without_gradient_and_learns_the_same(self):
        model = TargetNetModel(TargetNetConfig(dropout=0.0))
        ids, pair = torch.randint(0, 6, (7, 2, 50)), torch.tensor([0, 0, 0, 2, 2, 3, 3])
        labels, gradients = torch.tensor([1.0, 0.0, 0.0, 1.0]), []
        for training in (True, False):  # without training every site is differentiated
            model.train(training).zero_grad()
            output = model(ids, pair_index=pair, labels=labels)
            output.loss.backward()
            assert model.training == training and output.site_logits.requires_grad != training
            gradients.append([weight.grad.clone() for weight in model.parameters()])
        torch.testing.assert_close(*gradients)

    def test_no_site_at_all(self):
        output = TargetNetModel(TargetNetConfig())(
            torch.zeros(0, 2, 50, dtype=torch.long), pair_index=torch.zeros(0, dtype=torch.long), num_pairs=2
        )
        assert output.logits.sigmoid().tolist() == [0, 0]

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"channels": [16, 16]}, "three positive"),
            ({"channels": [32, 16, 16]}, "must not fall"),
            ({"pool_size": 51}, "1 to 50"),
        ],
    )
    def test_configuration_errors(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            TargetNetConfig(**wrong)

    def test_configuration_types_are_checked(self):
        with pytest.raises(Exception, match="pool_size"):
            TargetNetConfig(pool_size="three")

    def test_stock_trainer_trains_it(self, tmp_path):
        from transformers import Trainer, TrainingArguments

        rng = np.random.default_rng(5)
        ids = rng.integers(1, 5, (256, 2, 50)).astype(np.uint8)
        rows = [{"input_ids": torch.from_numpy(x), "labels": int(x[0, 10] == 1)} for x in ids]
        torch.manual_seed(0)
        arguments = TrainingArguments(
            tmp_path, max_steps=60, per_device_train_batch_size=64, learning_rate=0.01, use_cpu=True, report_to="none",
            save_strategy="no", logging_steps=10, seed=0, disable_tqdm=True,
        )  # fmt: skip
        trainer = Trainer(model=TargetNetModel(TargetNetConfig(dropout=0.0)), args=arguments, train_dataset=rows)
        trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        assert losses[-1] < 0.7 * losses[0]
