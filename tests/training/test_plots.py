"""Pictures of runs: every panel shows what it should, and a run without a log or scores is refused by name."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from seqformers.hub.contents import contents_of
from seqformers.pictures import check_picture, save_picture
from seqformers.training.evaluation import show_in_card
from seqformers.training.plots import draw_curves, draw_scores


@pytest.fixture
def run(tmp_path):
    for seed in (0, 1):
        (tmp_path / "seeds" / str(seed)).mkdir(parents=True)
        rows = [{"step": step, "loss": 1 / step, "seed": seed} for step in (1, 2, 3, 2, 3)]  # steps 2 and 3 came twice
        rows += [{"step": 3, "eval_loss": 0.5, "eval_macro_recall": 0.9, "eval_runtime": 3.0}]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "seeds" / str(seed) / "training_log.jsonl").write_text(text)
    return tmp_path


def test_curves_show_losses_and_each_metric_of_every_seed(run, tmp_path):
    figure = draw_curves(run)
    loss, recall = figure.axes
    assert [line.get_xdata().tolist() for line in loss.lines] == [[1, 2, 3], [1, 2, 3], [3], [3]]
    assert recall.get_ylabel() == "macro recall" and len(recall.lines) == 2
    assert save_picture(figure, tmp_path / "curves.svg").read_text().startswith("<?xml")


def test_a_run_without_a_log_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"keeps no training_log\.jsonl"):
        draw_curves(tmp_path)


def test_two_classes_have_one_curve_and_every_row_in_the_confusion():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 200)
    score = np.clip(label * 0.3 + rng.random(200) * 0.7, 0, 1)
    figure = draw_scores(pd.DataFrame({"label": label, "score_a": 1 - score, "score_b": score}), "title")
    roc, _, calibration, confusion = figure.axes
    assert [line.get_label() for line in roc.lines] == [f"b: AUROC {roc_auc_score(label, score):.3f}"]
    assert sum(int(text.get_text().replace(",", "")) for text in confusion.texts) == 200
    share = np.concatenate([line.get_ydata() for line in calibration.lines if line.get_marker() == "."])
    assert share.mean() == pytest.approx(label.mean())  # parts of equal size
    plt.close(figure)


def test_several_classes_have_a_curve_each_and_regression_a_scatter():
    scores = np.random.default_rng(0).dirichlet(np.ones(3), 90)
    frame = pd.DataFrame(scores, columns=["score_x", "score_y", "score_z"]).assign(label=np.arange(90) % 3)
    figure = draw_scores(frame)
    assert [line.get_label().partition(":")[0] for line in figure.axes[0].lines] == ["x", "y", "z"]
    plt.close(figure)
    figure = draw_scores(pd.DataFrame({"label": [0.5, 1.5], "score": [0.4, 1.7]}))
    assert figure.axes[0].collections[0].get_offsets().tolist() == [[0.5, 0.4], [1.5, 1.7]]
    plt.close(figure)


def test_rows_without_one_label_each_are_refused():
    with pytest.raises(ValueError, match="one label"):
        draw_scores(pd.DataFrame({"label": [[0, 1], [1, 0]], "score_a": [0.1, 0.2], "score_b": [0.9, 0.8]}))


def test_a_name_that_is_no_picture_is_refused():
    with pytest.raises(ValueError, match=r"ends in \.png, \.svg, \.pdf"):
        check_picture("scores.docx")


def test_a_card_shows_pictures_of_each_split_and_pushes_them(tmp_path):
    label = np.arange(40) % 2
    frame = pd.DataFrame({"label": label, "score_a": 1 - 0.6 * label, "score_b": 0.6 * label})
    (tmp_path / "README.md").write_text("# A run\n\nIts text.\n")
    for split in ("test", "validation", "test"):
        show_in_card(tmp_path, frame, split)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("# A run\n\nIts text.\n\n## Pictures\n") and card.count("## Pictures") == 1
    assert card.count("![Scores: test](scores-test.png)") == card.count("](scores-validation.png)") == 1
    assert {"scores-test.png", "scores-validation.png"} <= set(contents_of(tmp_path, "model").paths)
    assert [path.name for path in tmp_path.glob(".*")] == []
