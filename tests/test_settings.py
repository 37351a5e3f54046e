"""Settings as people write them: words stay words, truth is truth, and every mistake names its key."""

from __future__ import annotations

import dataclasses
import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqformers.settings import read_pair, read_pairs, read_yaml
from seqformers.training.recipe import BaselineRecipe, DataRecipe, ModelRecipe, Recipe, TuneRecipe, load_recipe

MINIMAL = {"data": {"path": "reads"}}


@pytest.mark.parametrize("text", ["&a [*a]", "{a: &x {b: *x}}", "&a {k: [1, *a]}"])
def test_an_anchor_that_holds_itself_is_refused_at_once(text):
    with pytest.raises(ValueError, match="holds an alias"):
        read_yaml(text)


def test_aliases_that_stand_for_millions_are_refused_and_others_are_read():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ValueError, match="more than"):
        read_yaml("\n".join(lines))
    assert read_yaml("{a: &x [1, 2], b: *x}") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [("a=no", "a", "no"), ("a=2020-01-01", "a", "2020-01-01"), ("a.b=1e-4", "a.b", 1e-4), ("a=", "a", None)],
)
def test_words_stay_words(word, key, value):
    assert read_pair(word) == (key, value)


@pytest.mark.parametrize("word", ["a", "=1", "a=[", "a=&x [*x]"])
def test_what_cannot_be_read_is_quoted(word):
    with pytest.raises(ValueError, match="cannot read"):
        read_pairs([word])


@pytest.mark.parametrize(
    ("word", "value"), [("no", False), ("off", False), ("No", False), ("yes", True), ("on", True)]
)
@pytest.mark.parametrize("key", ["portable", "tune.prune", "probe.cache", "training.bf16"])
def test_the_words_of_yaml_1_1_are_truth_values_where_those_are_wanted(key, word, value):
    found = load_recipe(MINIMAL, [f"{key}={word}"]).to_dict()
    for part in key.split("."):
        found = found[part]
    assert found is value


def test_a_word_stays_one_where_text_is_wanted():
    assert load_recipe(MINIMAL, ["training.eval_strategy=no", "name=off"]).training == {"eval_strategy": "no"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("portable=abc", "portable must be true or false; got 'abc'"),
        ("tokenizer.k=-1", "tokenizer.k must be between 1 and 16; got -1"),
        ("tokenizer.max_length=0", "tokenizer.max_length must be at least 1"),
        ("masking=1", "masking must be a mapping"),
        ("masking.mlm_probability=15", "masking.mlm_probability must be between 0 and 1"),
        ("training.learning_rate=-1", "training.learning_rate must be at least 0"),
        ("training.num_train_epochs=many", "training.num_train_epochs must be a number"),
        ("training.per_device_train_batch_size=0", "training.per_device_train_batch_size must be at least 1"),
        ("training.per_device_train_batch_size=1.5", "training.per_device_train_batch_size must be a whole number"),
        ("seeds=[-1]", "seeds must be between 0 and"),
        ("seeds=true", "seeds must be a list of"),
        ("model.config.hidden_size=.nan", "model.config.hidden_size is nan"),
        ("model.type=3", "model.type must be text"),
        ("model={type: [a]}", "model.type must be text"),
        ("data.columns=[a]", "data.columns must be a mapping"),
        ("data.columns={1: a}", "the key 1 in data.columns must be a word"),
        ("tune.n_trials=0", "tune.n_trials must be at least 1"),
        ("baselines.max_train_rows=x", "baselines.max_train_rows must be a whole number"),
        ("data.limits.train=-4", "data.limits.train must be at least 1"),
        ("x=&a [*a]", "holds an alias"),
        ("data=!!binary aGk=", "data .*bytes"),
        ("model.config.x=!!set {a}", "model.config.x holds a set"),
    ],
)
def test_wrong_types_and_numbers_out_of_bounds_name_their_key(override, message):
    with pytest.raises(ValueError, match=message):
        load_recipe(MINIMAL, [override])


def _keys():
    sections = {
        "": Recipe,
        "model.": ModelRecipe,
        "data.": DataRecipe,
        "baselines.": BaselineRecipe,
        "tune.": TuneRecipe,
    }
    for prefix, cls in sections.items():
        yield from (f"{prefix}{field.name.rstrip('_')}" for field in dataclasses.fields(cls))
    yield from ("tokenizer.k", "tokenizer.type", "masking.span", "masking.legacy", "probe.c", "probe.cache")
    yield from ("training.learning_rate", "training.bf16", "training.save_steps", "training.lr_scheduler_kwargs")
    yield from ("data.splits.test", "data.limits.train", "training.nothing", "nothing")


PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**6), st.floats(), st.text(max_size=6), st.dates(),
    st.binary(max_size=3), st.sampled_from(["no", "yes", "auto", "train", "finetune", "1e-4", "~"]),
)  # fmt: skip
VALUES = st.recursive(
    PLAIN, lambda inside: st.lists(inside, max_size=3) | st.dictionaries(PLAIN, inside, max_size=3), max_leaves=6
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(_keys())), VALUES)
def test_any_value_of_any_key_is_read_or_refused_by_name(key, value):
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    for given_ in ([f"{key}={text}"], None):
        source = dict(MINIMAL)
        if given_ is None:
            if "." in key:
                section, _, name = key.partition(".")
                source[section] = {**source.get(section, {}), **({name: value} if "." not in name else {})}
            else:
                source[key] = value
        try:
            recipe = load_recipe(source, given_ or [])
        except ValueError as error:
            words = key.split(".")
            assert any(word in str(error) for word in (*words, "exactly one of data")), error
        else:
            json.dumps(recipe.to_dict(), allow_nan=False)
            assert load_recipe(recipe.to_dict()) == recipe
