"""Trees in the text of LightGBM: against walking down each of them for each row, and against LightGBM."""

from __future__ import annotations

import numpy as np
import pytest

from seqformers.guides.best import FEATURE_NAMES, best_folder, tree_features
from seqformers.guides.trees import Trees

HEADER = "tree\nversion=v4\nnum_class=1\nobjective=regression\nfeature_names=a b\ntree_sizes={}\n\n"
TREE = """Tree={number}
num_leaves={leaves}
num_cat=0
split_feature={columns}
threshold={thresholds}
decision_type={kinds}
left_child={left}
right_child={right}
leaf_value={values}
is_linear=0

"""
SPLIT = {"leaves": 2, "columns": "0", "thresholds": "0.1", "kinds": "2", "left": "-1", "right": "-2", "values": "1 2"}
STUMP = dict.fromkeys(("columns", "thresholds", "kinds", "left", "right"), "") | {"leaves": 1, "values": "0.5"}
CHAIN = {
    "leaves": 4, "columns": "1 0 1", "thresholds": "2 0.1 -3.5", "kinds": "2 2 2",
    "left": "1 2 -1", "right": "-2 -3 -4", "values": "10 20 30 40",
}  # fmt: skip


def written(path, *trees, end="end of trees\n"):
    text = HEADER.format(" ".join("1" for _ in trees))
    path.write_text(text + "".join(TREE.format(number=n, **tree) for n, tree in enumerate(trees)) + end)
    return path


def walked(text, rows):
    """Sums over trees, every row from every root down."""
    total = np.zeros(len(rows))
    for block in text.split("\nTree=")[1:]:
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        columns, left, right = (
            [int(part) for part in fields[name].split()] for name in ("split_feature", "left_child", "right_child")
        )
        thresholds, values = ([float(part) for part in fields[name].split()] for name in ("threshold", "leaf_value"))
        for row, numbers in enumerate(rows):
            at = 0 if columns else -1
            while at >= 0:
                at = left[at] if float(numbers[columns[at]]) <= thresholds[at] else right[at]
            total[row] += values[~at]
    return total


def test_trees_of_several_shapes_are_walked_down(tmp_path):
    path = written(tmp_path / "trees.txt", SPLIT, STUMP, CHAIN)
    rows = np.array([[0.1, -4], [0.09, -3], [0.2, 2], [0.05, 2.5], [0.1, -3.5]], np.float32)
    assert Trees(path).columns == ("a", "b")
    assert Trees(path).predict(rows).tolist() == walked(path.read_text(), rows).tolist()
    assert Trees(path).predict(rows)[0] == 2 + 0.5 + 30  # float32 of 0.1 is above 0.1
    assert Trees(path).predict(rows[:0]).shape == (0,)


def test_a_tree_may_have_many_leaves(tmp_path):
    many = 300  # the first split takes those at most 0, the next those at most 1, ...
    splits = range(many - 1)
    tree = {
        "leaves": many, "columns": "0 " * len(splits), "kinds": "2 " * len(splits),
        "thresholds": " ".join(map(str, splits)),
        "left": " ".join(str(~split) for split in splits), "values": " ".join(str(leaf * 7) for leaf in range(many)),
        "right": " ".join(map(str, [*splits[1:], ~(many - 1)])),
    }  # fmt: skip
    rows = np.array([[value, 0] for value in (-1, 0, 128, 255, 256, 270, 298, 1000)], np.float32)
    found = Trees(written(tmp_path / "trees.txt", STUMP, tree)).predict(rows)
    assert (found - 0.5).tolist() == [0, 0, 128 * 7, 255 * 7, 256 * 7, 270 * 7, 298 * 7, 299 * 7]


def test_the_packaged_trees_give_the_same_numbers_whatever_comes_along():
    path = best_folder() / "trees.txt"
    trees = Trees(path)
    assert trees.columns == FEATURE_NAMES
    rows = tree_features(np.random.default_rng(0).integers(0, 5, (2100, 34)).astype(np.uint8))
    found = trees.predict(rows)
    assert found[:20].tolist() == walked(path.read_text(), rows[:20]).tolist()
    assert trees.predict(rows[2090:]).tolist() == found[2090:].tolist()
    lightgbm = pytest.importorskip("lightgbm")
    assert found.tolist() == lightgbm.Booster(model_file=str(path)).predict(rows, num_threads=1).tolist()


@pytest.mark.parametrize(
    ("trees", "end", "message"),
    [
        ((SPLIT, {**SPLIT, "kinds": "1"}), "end of trees", "splits other than"),
        ((SPLIT, {**SPLIT, "kinds": "10"}), "end of trees", "splits other than"),
        ((), "end of trees", "torn"),
        ((SPLIT,), "", "torn"),
    ],
)
def test_other_trees_are_refused(tmp_path, trees, end, message):
    with pytest.raises(ValueError, match=message):
        Trees(written(tmp_path / "trees.txt", *trees, end=end))


def test_a_tree_that_is_gone_is_missed(tmp_path):
    path = written(tmp_path / "trees.txt", SPLIT, SPLIT)
    path.write_text(path.read_text().replace("Tree=1\n", ""))
    with pytest.raises(ValueError, match="torn"):
        Trees(path)
