"""Options of builders: a value of another type is refused by its key."""

from __future__ import annotations

from dataclasses import dataclass, field

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqformers.datasets import DATASETS, builder_class, dataset_builder
from seqformers.datasets_scripts.common.options import check_options


@dataclass
class Config(datasets.BuilderConfig):
    count: int = 1
    share: float = 0.5
    on: bool = False
    word: str = "a"
    path: str | None = None
    parts: tuple[float, ...] = (0.5, 0.5)
    names: dict[str, str] = field(default_factory=dict)
    some: bool | tuple[str, ...] = False


RIGHT = {
    "count": st.integers(),
    "share": st.floats(allow_nan=False) | st.integers(),
    "on": st.booleans(),
    "word": st.text(),
    "path": st.none() | st.text(),
    "parts": st.lists(st.floats(allow_nan=False) | st.integers()),
    "names": st.dictionaries(st.text(), st.text()),
    "some": st.booleans() | st.lists(st.text()),
}
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=2),
)


@given(st.data(), st.sampled_from(sorted(RIGHT)))
def test_right_values_pass(data, name):
    value = data.draw(RIGHT[name])
    config = Config(**{name: value})
    check_options(config)
    stored = getattr(config, name)
    if name in ("share", "parts"):  # whole numbers become floats, those beyond 2**53 the nearest one
        value = [float(number) for number in value] if isinstance(value, list) else float(value)
    assert stored == (tuple(value) if isinstance(value, list) else value)
    assert name != "share" or type(stored) is float


@given(ANY, st.sampled_from(sorted(RIGHT)))
def test_any_value_passes_or_is_refused_by_key(value, name):
    config = Config(**{name: value})
    try:
        check_options(config)
    except ValueError as error:
        assert str(error).startswith(f"{name} is ")
    else:
        wanted = {"count": int, "share": float, "on": bool, "word": str, "parts": tuple, "names": dict}.get(name)
        stored = getattr(config, name)
        assert wanted is None or type(stored) is wanted


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("on", "maybe", r"on is 'maybe', expected true or false \(default: False\)"),
        ("on", 1, "on is 1, expected true or false"),
        ("count", True, "count is True, expected a whole number"),
        ("count", 1.5, "count is 1.5, expected a whole number"),
        ("share", "half", "share is 'half', expected a number"),
        ("word", None, "word is None, expected text"),
        ("path", 3, "path is 3, expected text or nothing"),
        ("parts", "0.5", "parts is '0.5', expected a list of a number"),
        ("parts", [0.5, "x"], "expected a list of a number"),
        ("names", ["a"], "expected a mapping"),
    ],
)
def test_messages(name, value, message):
    with pytest.raises(ValueError, match=message):
        check_options(Config(**{name: value}))


@pytest.mark.parametrize(("word", "truth"), [("no", False), ("Off", False), ("yes", True), ("on", True)])
def test_words_of_yaml_are_truth_values(word, truth):
    config = Config(on=word, some=word, word=word)
    check_options(config)
    assert (config.on, config.some, config.word) == (truth, truth, word)


@pytest.mark.parametrize("dataset", sorted(DATASETS))
def test_every_builder_checks(dataset, tmp_path):
    config = builder_class(dataset).BUILDER_CONFIG_CLASS()
    names = [name for name, value in vars(config).items() if isinstance(value, bool | int) or name == "validation"]
    with pytest.raises(ValueError, match=rf"{names[0]} is 'maybe', expected"):
        dataset_builder(dataset, cache_dir=tmp_path, **{names[0]: "maybe"})


def test_a_number_beyond_every_float_is_refused():
    with pytest.raises(ValueError, match="share"):
        check_options(Config(share=10**400))
