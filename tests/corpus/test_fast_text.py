"""The numpy reading of fastText models against fastText itself."""

import os
import subprocess
import sys
from pathlib import Path

import fasttext
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.language.model_file import model_path
from corpus.language.models.fast_text import FastText
from pipeline.errors import XlmrError

TRAINING = {
    "de": ["das ist ein Haus und ein Garten", "die Straße ist lang", "wir gehen über die Brücke"],
    "en": ["this is a house and a garden", "the street is long", "we walk over the bridge"],
    "ru": ["это дом и сад", "улица длинная", "мы идём по мосту"],
    "ja": ["これは家と庭です", "道は長い", "橋を渡ります"],
}
SAMPLES = [
    "",
    " ",
    "  Haus  und  Garten ",
    "これは 橋",
    "x",
    "zzz",
    "</s> Haus",
    "das </s> house",
    "a __label__de b",
    "a\0b",
]

# What a page may hold: any character but the newline, which fastText's predict does not take.
texts = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=200), max_size=8)


TRAIN = """
import sys, fasttext
text, name, loss, shortest, longest, quantise = sys.argv[1:]
options = {"dim": 8, "bucket": 20_000, "thread": 1, "epoch": 5, "verbose": 0}
model = fasttext.train_supervised(text, loss=loss, minn=int(shortest), maxn=int(longest), **options)
if quantise == "yes":
    model.quantize(text, qnorm=True, cutoff=300, retrain=False)
model.save_model(name)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    text = folder / "text.txt"
    text.write_text("".join(f"__label__{lang} {line}\n" for lang, lines in TRAINING.items() for line in lines * 100))
    found = {"lid.176": model_path("lid.176.ftz")}
    for name, options in {
        "hs": ("hs", "2", "4", "no"),
        "softmax": ("softmax", "1", "3", "no"),
        "words only": ("hs", "0", "0", "no"),
        "quantised": ("hs", "2", "4", "yes"),
    }.items():
        found[name] = folder / f"{name}.bin"
        # With one thread fastText 0.9.3 leaves nine tenths of its matrix as the memory was: have it given as zeros.
        zeros = {**os.environ, "MALLOC_PERTURB_": "255"}
        subprocess.run([sys.executable, "-c", TRAIN, str(text), str(found[name]), *options], env=zeros, check=True)
    return found


@pytest.mark.parametrize("most", [4, 100_000])
def test_words_met_before_change_no_bit(models, monkeypatch, most):
    monkeypatch.setattr("corpus.language.models.word_cache.MOST_WORDS", most)
    texts = [text.replace("\n", " ") for lines in TRAINING.values() for text in lines] + SAMPLES
    for path in models.values():
        model = FastText(path)
        model.probabilities(texts[::-1])
        assert model.probabilities(texts).tolist() == FastText(path).probabilities(texts).tolist()


def by_fast_text(path: Path, lines: list[str]) -> tuple[list[str], list[float]]:
    labels, scores = fasttext.load_model(str(path)).predict(lines, k=1) if lines else ([], [])
    return [label[0][9:] if len(label) else "" for label in labels], [s[0] if len(s) else 0.0 for s in scores]


@pytest.mark.parametrize("name", ["lid.176", "hs", "softmax", "words only", "quantised"])
def test_says_what_fast_text_says(models: dict[str, Path], name: str) -> None:
    lines = [line for of_language in TRAINING.values() for line in of_language] + SAMPLES
    labels, scores = FastText(models[name]).predict(lines)
    expected_labels, expected_scores = by_fast_text(models[name], lines)
    assert labels == expected_labels
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)


@pytest.mark.slow
@given(texts)
@settings(max_examples=150, deadline=None)
def test_rounded_answers_are_fast_texts_to_the_last_digit(lines: list[str]) -> None:
    path = model_path("lid.176.ftz")
    labels, scores = FastText(path).predict_rounded(lines)
    expected_labels, expected_scores = by_fast_text(path, lines)
    assert labels == expected_labels
    assert scores.tolist() == np.array(expected_scores, np.float32).round(2).tolist()


@pytest.mark.parametrize("name", ["lid.176", "softmax"])
def test_probabilities_of_all_labels(models: dict[str, Path], name: str) -> None:
    model, oracle = FastText(models[name]), fasttext.load_model(str(models[name]))
    line = "das ist a house и сад"
    predicted, scores = oracle.predict([line], k=-1)
    expected = {label[9:]: score for label, score in zip(predicted[0], scores[0], strict=True)}
    found = dict(zip(model.labels, model.probabilities([line])[0].tolist(), strict=True))
    assert {label: found[label] for label in expected} == pytest.approx(expected, abs=2e-5)
    assert max((found[label] for label in set(found) - set(expected)), default=0) < 1e-4  # fastText leaves these out


def test_a_file_that_is_none(tmp_path: Path, models: dict[str, Path]) -> None:
    whole = models["hs"].read_bytes()
    cut, other = tmp_path / "cut.bin", tmp_path / "other.bin"
    cut.write_bytes(whole[: len(whole) // 2])
    other.write_bytes(b"no model at all, but long enough to be read as one")
    for path in (cut, other, tmp_path / "missing.bin"):
        with pytest.raises(XlmrError, match=path.name):
            FastText(path)


@pytest.mark.filterwarnings("error")
def test_a_quantised_model_with_numbers_that_are_none_is_a_line_without_a_warning(
    models: dict[str, Path], tmp_path: Path
) -> None:
    data = models["quantised"].read_bytes()
    refused = 0
    for start in range(len(data) // 2, len(data) - 256, 128):
        damaged = data[:start] + b"\x00\x00\xa0\x7f" * 32 + data[start + 128 :]  # NaN that signals
        (tmp_path / "a.bin").write_bytes(damaged)
        try:
            FastText(tmp_path / "a.bin").predict(["das Haus"])
        except XlmrError:
            refused += 1
    assert refused
