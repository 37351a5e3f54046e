"""The pairing-matrix networks: the diagonal reader against a slow one, windows, contributions, the processor."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers import PairCnnConfig, PairCnnModel, PairCnnProcessor
from seqformers.hub.load import packaged_model
from seqformers.modeling.targets.modeling_pair_cnn import UPSTREAM, _pooled, _running

LET7 = "UGAGGUAGUAGGUUGUAUAGUU"
SITE = "CGCAUUUUCCCUGCCUACCUCACAGAGCUGUUCUGAGGGUGCAUGGAGGA"
MATRIX = {"kind": "matrix", "max_mirna_length": 10, "target_length": 12, "channels": [4], "kernel_sizes": [3]}


def reader(**changes) -> PairCnnModel:
    """A diagonal reader whose batch norms have seen something."""
    torch.manual_seed(0)
    model = PairCnnModel(PairCnnConfig(**changes))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.bias.data.normal_()
    return model.eval()


def random_pairs(rows: int, mirna: int, target: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(1, top, (rows, size), generator=generator) for size, top in ((mirna, 5), (target, 6)))


def slow_registers(model, mirna, target):
    """One cell at a time: sum of vectors, number of cells and column of every register of one pair."""
    weight, least = model.members[0].pair.weight, model.config.min_overlap
    found = {}
    for register in range(least - 1, len(target) + model.config.max_mirna_length - least):
        total, cells = torch.zeros(model.config.pair_size), 0
        for i, letter in enumerate(mirna.tolist()):
            j = register - i
            if 0 <= j < len(target) and 1 <= letter <= 4 and 1 <= target[j] <= 4:
                total, cells = total + weight[i, letter - 1, target[j] - 1], cells + 1
        found[register] = total, cells
    return found


class TestDiagonal:
    @torch.no_grad()
    def test_registers_are_the_sums_along_the_diagonals(self):
        model = reader()
        mirnas, targets = random_pairs(3, 22, 50)
        member, letters = model.members[0], model._letters(targets)
        sums, cells = member.registers(model._ids(mirnas), letters)
        for row in range(3):
            slow = slow_registers(model, mirnas[row], targets[row])
            assert len(slow) == sums.shape[2]
            for column, (total, count) in enumerate(slow.values()):
                torch.testing.assert_close(sums[row, :, column], total, atol=1e-5, rtol=1e-5)
                assert cells[row, column] == count

    @torch.no_grad()
    def test_target_filters_lie_beside_their_register(self):
        model = reader(target_size=1)
        member = model.members[0]
        half = model.config.target_kernel_size // 2
        member.target.weight.zero_()
        member.target.weight[0, 0, half] = 1.0  # 1 where the nucleotide at the centre is A
        member.target.bias.zero_()
        targets = torch.full((1, 50), 2)
        targets[0, 30] = 1
        padded = torch.nn.functional.pad(
            torch.cat([model._letters(targets), torch.ones(1, 1, 50)], 1), (member.left, member.right)
        )
        column = int(member.target(padded)[0, 0].argmax())
        assert column + model.config.min_overlap - 1 == 30 + UPSTREAM

    @torch.no_grad()
    def test_a_row_of_one_mirna_reads_like_a_row_each(self):
        model = reader(num_members=2)
        mirnas, targets = random_pairs(5, 22, 50)
        one = torch.stack([model(mirnas[:1], targets[row : row + 1]).logits[0] for row in range(5)])
        torch.testing.assert_close(one, model(mirnas[:1].expand(5, -1), targets).logits, atol=1e-5, rtol=1e-5)

    @torch.no_grad()
    def test_unknown_flanks_and_padding_are_nothing(self):
        model = reader()
        mirnas, targets = random_pairs(4, 20, 40)
        expected = model(mirnas, targets).logits
        for value in (0, 5):
            flanked = torch.nn.functional.pad(targets, (7, 9), value=value)
            torch.testing.assert_close(model(mirnas, flanked).logits, expected, atol=1e-5, rtol=1e-5)

    @torch.no_grad()
    def test_a_target_without_a_letter_has_a_finite_score(self):
        model = reader()
        mirnas, targets = random_pairs(2, 22, 50)
        targets[0] = 5
        assert torch.isfinite(model(mirnas, targets).logits).all()

    @torch.no_grad()
    def test_many_rows_are_read_in_parts(self):
        model = reader()
        mirnas, targets = random_pairs(300, 22, 50)
        parts = torch.cat([model(*part).logits for part in zip(mirnas.split(7), targets.split(7), strict=True)])
        torch.testing.assert_close(model(mirnas, targets).logits, parts, atol=1e-5, rtol=1e-5)

    def test_fresh_cells_start_as_pairs(self):
        weight = PairCnnModel(PairCnnConfig(pair_size=512)).members[0].pair.weight
        size = weight.pow(2).mean((0, 3)).sqrt()
        pairs = {(0, 3), (3, 0), (1, 2), (2, 1)}
        strong = min(size[pair] for pair in pairs)
        assert all(strong > size[a, b] for a in range(4) for b in range(4) if (a, b) not in pairs)

    def test_members_learn_for_themselves(self):
        model = reader(num_members=3)
        mirnas, targets = random_pairs(4, 22, 50)
        labels = torch.tensor([1.0, 0, 1, 0])
        output = model(mirnas, targets, labels=labels, row_weights=torch.tensor([1.0, 1, 0, 0]))
        torch.testing.assert_close(output.logits, output.member_logits.mean(0))
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            output.member_logits, labels.expand(3, -1), reduction="none"
        )
        torch.testing.assert_close(output.loss, losses[:, :2].mean())


class TestWindows:
    @torch.no_grad()
    def test_the_whole_target_as_one_window_is_its_score(self):
        model = reader(num_members=2)
        mirnas, targets = random_pairs(5, 22, 50)
        found = model.score_windows(mirnas[0], targets)
        torch.testing.assert_close(found[:, 0], model(mirnas[:1].expand(5, -1), targets).logits, atol=1e-5, rtol=1e-5)

    @torch.no_grad()
    @pytest.mark.parametrize("step", [1, 3])
    def test_windows_pool_their_own_registers(self, step):
        model = reader()
        mirnas, targets = random_pairs(2, 22, 130)
        found = model.score_windows(mirnas[0], targets, width=50, step=step)
        assert found.shape == (2, 80 // step + 1)
        member, letters = model.members[0], model._letters(targets)
        hidden, real = member.read(*member.registers(model._ids(mirnas[:1]), letters), letters)
        registers = 50 + 22 - 2 * model.config.min_overlap + 1
        for window in (0, 5, found.shape[1] - 1):
            here = slice(window * step, window * step + registers)
            part, kept = hidden[..., here], real[..., here]
            weights = member.attention(part).masked_fill(~kept, -math.inf).softmax(-1)
            values = member.value(part).unflatten(1, (member.num_heads, -1))
            pooled = (weights[:, :, None] * values).sum(-1).flatten(1)
            highest = part.masked_fill(~kept, -math.inf).amax(-1)
            torch.testing.assert_close(found[:, window], member.answer(pooled, highest), atol=1e-4, rtol=1e-4)

    @torch.no_grad()
    def test_a_window_far_from_all_else_scores_as_if_cut_out(self):
        model = reader()
        mirnas, targets = random_pairs(1, 22, 50)
        long = torch.nn.functional.pad(targets, (60, 60), value=5)
        found = model.score_windows(mirnas[0], long)
        torch.testing.assert_close(found[0, 60], model(mirnas, targets).logits[0], atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 61])
    def test_running_sums_and_maxima(self, width):
        values = torch.rand(2, 80, 3, dtype=torch.float64)
        windows = values.unfold(1, width, 1)
        torch.testing.assert_close(_running(values, width, torch.add), windows.sum(-1))
        assert torch.equal(_running(values, width, torch.maximum), windows.amax(-1))
        for step in (1, 3, 4):
            count = (80 - width) // step + 1
            torch.testing.assert_close(_pooled(values, width, count, step, torch.add), windows[:, ::step].sum(-1))
            highest = _pooled(values, width, count - 1, step, torch.maximum)
            assert torch.equal(highest, windows[:, ::step].amax(-1)[:, : count - 1])

    @torch.no_grad()
    @settings(deadline=None, max_examples=20)
    @given(st.lists(st.integers(0, 5), min_size=1, max_size=90), st.lists(st.integers(0, 5), min_size=1, max_size=24))
    def test_what_is_looked_up_is_what_the_layers_compute(self, target, mirna):
        model = reader(num_members=2, channels=[64, 32], kernel_sizes=[5, 3])
        ids, targets = model._ids(torch.tensor([mirna])), torch.tensor([target])
        letters = model._letters(targets)
        for member, prepared in zip(model.members, model.reader(ids).members, strict=True):
            hidden, real = member.read(*member.registers(ids, letters), letters)
            found, kept = prepared.read(targets)
            torch.testing.assert_close(found.transpose(1, 2), hidden, atol=1e-4, rtol=1e-4)
            assert torch.equal(kept[..., 0] > 0, real[:, 0])

    @torch.no_grad()
    @settings(deadline=None, max_examples=20)
    @given(
        st.lists(st.lists(st.integers(0, 5), max_size=26), min_size=1, max_size=4),
        st.integers(1, 60),
        st.integers(1, 3),
        st.data(),
    )
    def test_a_scorer_scores_as_the_model(self, mirnas, columns, members, data):
        model = reader(num_members=members, channels=[96, 32], kernel_sizes=[5, 3])
        one = torch.tensor([mirna + [0] * (26 - len(mirna)) for mirna in mirnas], dtype=torch.uint8)
        letters = st.lists(st.integers(0, 5), min_size=columns, max_size=columns)
        other = torch.tensor([data.draw(letters) for _ in mirnas], dtype=torch.uint8)
        torch.testing.assert_close(model.scorer()(one, other), model(one, other).logits, atol=1e-4, rtol=1e-4)

    def test_a_matrix_has_no_scorer(self):
        with pytest.raises(ValueError, match="call the model"):
            PairCnnModel(PairCnnConfig(**MATRIX)).eval().scorer()

    def test_a_matrix_does_not_slide(self):
        with pytest.raises(ValueError, match="cut the windows"):
            PairCnnModel(PairCnnConfig(**MATRIX)).eval().score_windows(torch.ones(10), torch.ones(1, 30))


class TestContributions:
    def test_of_a_diagonal_reader_add_up_to_what_pairing_adds(self):
        model = reader(num_members=2)
        mirnas, targets = random_pairs(3, 22, 50)
        found = model.pair_contributions(mirnas, targets, steps=64)
        assert found.shape == (3, 24, 50)
        letters, ids = model._letters(targets), model._ids(mirnas)
        with torch.no_grad():
            none = letters.sum(1, keepdim=True).expand(-1, 4, -1) / 4
            without = torch.stack(
                [
                    member(member.pair(ids, none), member.registers(ids, letters)[1], letters)
                    for member in model.members
                ]
            ).mean(0)
            wanted = model(mirnas, targets).logits - without
        torch.testing.assert_close(found.sum((1, 2)), wanted, atol=5e-3, rtol=1e-2)
        assert (found[:, 22:] == 0).all()  # behind the miRNA's end
        assert (found.transpose(1, 2)[targets == 5] == 0).all()  # unknown letters

    def test_of_a_matrix_add_up_to_the_difference_from_no_pair(self):
        torch.manual_seed(0)
        model = PairCnnModel(PairCnnConfig(**MATRIX)).eval()
        mirnas, targets = random_pairs(3, 10, 12)
        found = model.pair_contributions(mirnas, targets, steps=128)
        assert found.shape == (3, 10, 12)
        with torch.no_grad():
            wanted = model(mirnas, targets).logits - model(torch.full_like(mirnas, 5), targets).logits
        torch.testing.assert_close(found.sum((1, 2)), wanted, atol=5e-3, rtol=1e-2)

    def test_leave_the_mode_and_the_gradients_alone(self):
        model = reader().train()
        model.pair_contributions(*random_pairs(2, 22, 50))
        assert model.training
        assert all(parameter.grad is None for parameter in model.parameters())


class TestHiddenStates:
    @torch.no_grad()
    def test_of_a_diagonal_reader_the_last_is_what_is_pooled(self):
        model = reader(num_members=2)
        mirnas, targets = random_pairs(3, 22, 50)
        output = model(mirnas, targets, output_hidden_states=True)
        torch.testing.assert_close(output.logits, model(mirnas, targets).logits)
        assert [tuple(state.shape) for state in output.hidden_states] == [(3, 2, 96, 63), *[(3, 2, 64, 63)] * 2]
        member, letters = model.members[1], model._letters(targets)
        hidden, _ = member.read(*member.registers(model._ids(mirnas), letters), letters)
        torch.testing.assert_close(output.hidden_states[-1][:, 1], hidden)

    @torch.no_grad()
    def test_of_a_matrix_halve_with_every_convolution(self):
        model = PairCnnModel(PairCnnConfig(**MATRIX)).eval()
        mirnas, targets = random_pairs(3, 10, 12)
        states = model(mirnas, targets, output_hidden_states=True).hidden_states
        assert [tuple(state.shape) for state in states] == [(3, 64, 10, 12), (3, 4, 5, 6)]
        assert torch.equal(states[0], model.matrix.vectors(model.matrix.cells(mirnas, targets)))


class TestMatrix:
    def test_cells_are_numbered_by_letters(self):
        model = PairCnnModel(PairCnnConfig(**MATRIX))
        kinds = model.matrix.cells(torch.tensor([[1, 4, 5]]), torch.tensor([[4, 2, 5]]))
        assert kinds[0, :2, :2].tolist() == [[3, 1], [15, 13]]
        assert (kinds[0, 2:] == 17).all() and (kinds[0, :, 2:] == 17).all()

    def test_a_target_that_does_not_fit_is_refused(self):
        model = PairCnnModel(PairCnnConfig(**MATRIX))
        with pytest.raises(ValueError, match="13 nt does not fit the 12 columns"):
            model(torch.ones(1, 10, dtype=torch.long), torch.ones(1, 13, dtype=torch.long))


class TestConfig:
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"kind": "square"}, "known: diagonal, matrix"),
            ({"channels": [8], "kernel_sizes": [3, 3]}, "the same convolutions"),
            ({"kernel_sizes": [4, 5]}, "must be odd"),
            ({"num_heads": 5}, "cannot be split"),
            ({"min_overlap": 25}, "1 to 24"),
            ({"num_members": 0}, "1 or more"),
            ({"problem_type": "multi_label_classification"}, "cannot be several labels"),
            ({"kind": "matrix", "max_mirna_length": 3}, "too small"),
        ],
    )
    def test_impossible_shapes_are_refused(self, values, words):
        with pytest.raises(Exception, match=words):
            PairCnnConfig(**values)


class TestProcessor:
    def test_letters_lengths_and_types(self):
        inputs = PairCnnProcessor()([LET7, "acgtn"], [SITE, "ACGU"])
        assert inputs["mirna_ids"].dtype == torch.long
        assert inputs["mirna_ids"][1].tolist() == [1, 2, 3, 4, 5] + [0] * 17
        assert inputs["target_ids"][1].tolist() == [1, 2, 3, 4] + [0] * 46
        assert PairCnnProcessor()([], [])["target_ids"].shape == (0, 0)

    @pytest.mark.parametrize(
        ("mirna", "target", "words"),
        [
            (["ACGU", "ACEU"], ["A", "A"], "miRNA 1: 'E' at position 3"),
            ("ACGU", ["A", "AC-"], "target 1: '-' at position 3"),
            (["ACGU", ""], ["A", "A"], "miRNA 1 is empty"),
            (["ACGU"], ["A", "A"], "1 miRNAs and 2 targets"),
            ("ACGU", "A" * 51, "51 nt, and the model reads 50"),
        ],
    )
    def test_mistakes_are_named(self, mirna, target, words):
        with pytest.raises(ValueError, match=words):
            PairCnnProcessor(target_length=50)(mirna, target)

    def test_longer_mirnas_are_cut_with_a_warning(self):
        with pytest.warns(UserWarning, match="1 of 2 miRNAs are longer than the 24 nt"):
            inputs = PairCnnProcessor()(["A" * 30, "A" * 20], ["A", "A"])
        assert inputs["mirna_ids"].shape == (2, 24)


class TestPackaged:
    @pytest.fixture(scope="class")
    def packaged(self):
        from transformers import AutoModel, AutoProcessor

        folder = packaged_model("pair_cnn")
        return AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)

    @torch.no_grad()
    def test_a_site_scores_above_its_reverse(self, packaged):
        model, processor = packaged
        site, reverse = model(**processor(LET7, [SITE, SITE[::-1]])).logits.tolist()
        assert model.config.num_members == 3 and site > 0 > reverse

    def test_the_seed_carries_the_score(self, packaged):
        model, processor = packaged
        found = model.pair_contributions(**processor(LET7, SITE))[0]
        best = sorted(divmod(int(cell), len(SITE)) for cell in found.flatten().topk(6).indices)
        assert best == [(i, SITE.index("CUACCUC") + 7 - i) for i in range(1, 7)]  # nt 2-7 on one diagonal
