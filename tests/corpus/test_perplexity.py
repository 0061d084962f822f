"""Scoring against the plain twin, on text of every script; models within a memory limit; the command."""

from __future__ import annotations

import json
import lzma
import shutil
import sys
import unicodedata
from pathlib import Path

import kenlm
import numpy as np
import plain_ccnet as plain
import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st
from language_models import ROOT, clean_text, train_models

from corpus.normalise import ASCII_LOOK_ALIKES, changeable, normalise_for_language_model
from corpus.perplexity import score as score_module
from corpus.perplexity.normalise import normalise_batch
from corpus.perplexity.score import LanguageModel, ModelCache, SentencePieceModel, perplexity_of
from corpus.perplexity.tools import bucket_of, read_documents
from pipeline.cli import main

MOVED = "".join(
    chr(c)
    for c in changeable()
    if any(unicodedata.combining(p) and unicodedata.category(p) != "Mn" for p in unicodedata.normalize("NFD", chr(c)))
)
SPECIAL = (
    "".join(ASCII_LOOK_ALIKES) + "ΣσςİIıẞßＡ０٣१\x00\x1f\x7f\x85\x9f\u00a0\u2028\u3000é̂가힣ோ\u0301\u0327\ue000" + MOVED
)
characters = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from(SPECIAL),
    st.sampled_from("ab \nΑΣ."),
    st.characters(categories=["L", "M"]),
)
texts = st.text(characters, max_size=60)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """Models of three languages and as many scripts."""
    clean = {}
    for language in ("de", "el", "zh"):
        clean[language] = "\n".join(clean_text(language, 0, 80))
    return train_models(tmp_path_factory.mktemp("models"), clean, vocab_size=2000)


@pytest.fixture(scope="module")
def loaded(models):
    """By language: our model, and the two libraries' as the plain twin takes them."""
    return {
        language: (
            LanguageModel.load(models, language),
            sentencepiece.SentencePieceProcessor(model_file=str(models / f"{language}.sp.model")),
            kenlm.Model(str(models / f"{language}.arpa.bin")),
        )
        for language in ("de", "el", "zh")
    }


def test_every_character_is_normalised_as_by_the_plain_function():
    """Between letters; those that a step may change also alone, and before a mark that stays."""
    everything = [f"a{chr(c)}b" for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
    some = [chr(c) for c in changeable() if not 0xD800 <= c < 0xE000]
    for given_texts in (everything, some, [f"x{character}\u302e" for character in some]):
        for text, found in zip(given_texts, normalise_batch(given_texts), strict=True):
            assert found == normalise_for_language_model(text).encode(), ascii(text)
    some = [character for character in some if ord(character) < 0x3000 or character in SPECIAL]
    assert normalise_batch(some) == [plain.normalise_for_language_model(character).encode() for character in some]


@example(["\u00a0"], 4)  # nothing is left once it is stripped
@example(["\u00a0", "é", "\u3000"], 1 << 16)
@settings(max_examples=1000, deadline=None)
@given(st.lists(texts, max_size=8), st.sampled_from([4, 20, 1 << 16]))
def test_normalisation_of_many_texts(some, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("corpus.perplexity.normalise.CHARACTERS_AT_ONCE", at_once)
        assert normalise_batch(some) == [plain.normalise_for_language_model(text).encode() for text in some]


def test_a_lone_surrogate_is_a_question_mark():
    assert normalise_batch(["é\ud800b", "\ud800", "\ud800\u302e"]) == [b"e?b", b"?", "?\u302e".encode()]


@settings(max_examples=300, deadline=None)
@given(some=st.lists(texts, max_size=6), language=st.sampled_from(["de", "el", "zh"]))
def test_perplexity_equals_the_plain_twin(loaded, some, language):
    model, tokenizer, ngrams = loaded[language]
    found = model.perplexities(some)
    for text, value in zip(some, found.tolist(), strict=True):
        if not tokenizer.encode_as_pieces(plain.normalise_for_language_model(text)):
            assert np.isnan(value)
        else:
            assert value == np.float32(plain.perplexity(text, tokenizer, ngrams)), ascii(text)


def test_perplexity_of_real_documents_equals_the_plain_twin(loaded):
    for language, (model, tokenizer, ngrams) in loaded.items():
        documents = clean_text(language, 80, 140)
        paragraphs = [part for document in documents for part in document.split(". ")]
        for some in (documents, paragraphs, [" ".join(documents)]):
            expected = [np.float32(plain.perplexity(one, tokenizer, ngrams)) if one.strip() else np.nan for one in some]
            np.testing.assert_array_equal(model.perplexities(some), expected)


def test_scores_of_paragraphs_sum_to_the_document_of_cc_net(loaded):
    """cc_net scores the lines of a document one by one and divides by their tokens and ends."""
    model, processor, ngrams = loaded["de"]
    paragraphs = ["Öffnen Sie das Menü.", "", "\x01", "Der zweite Absatz, mit 17 Wörtern."]
    scores, tokens = model.score_batch(paragraphs)
    assert (scores.dtype, tokens.dtype) == (np.float64, np.int32)
    assert [bool(n) for n in tokens] == [True, False, False, True]
    assert scores[1] == scores[2] == 0
    total, length = 0.0, 0
    for text in (paragraphs[0], paragraphs[3]):
        words = processor.encode_as_pieces(plain.normalise_for_language_model(text))
        total += ngrams.score(" ".join(words))
        length += len(words) + 1
    of_both = perplexity_of(scores.sum(keepdims=True), tokens.sum(keepdims=True), np.array([2], np.int32))
    assert of_both.tolist() == [round(10 ** (-total / length), 1)]


@settings(max_examples=500)
@given(st.lists(st.tuples(st.floats(-50_000, 0), st.integers(1, 10_000)), min_size=1))
def test_rounding_is_pythons(pairs):
    pairs = [(score, tokens) for score, tokens in pairs if score > -100 * tokens]
    scores, tokens = np.array([s for s, _ in pairs]), np.array([n for _, n in pairs], np.int32)
    expected = [round(10.0 ** (-s / (n + 1)), 1) for s, n in pairs]
    assert perplexity_of(scores, tokens).tolist() == expected


@pytest.mark.parametrize("value", [1.05, 1.15, 2.25, 7.35, 100.65, 123456.75])
def test_rounding_of_halves_is_pythons(value):
    score = -np.log10(np.array([value])) * 2
    assert perplexity_of(score, np.array([1], np.int32)).tolist() == [round(10.0 ** (-float(score[0]) / 2), 1)]


def test_words_are_counted_where_a_token_holds_a_space(tmp_path):
    """A model that does not normalise keeps a no-break space inside a token; cc_net's count splits there."""
    lines = ["eins\u00a0zwei drei", "vier\u00a0fünf sechs"] * 50
    with (tmp_path / "xx.sp.model").open("wb") as out:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=out, vocab_size=60, hard_vocab_limit=False, minloglevel=2,
            normalization_rule_name="identity", user_defined_symbols=["s\u00a0z"],
        )  # fmt: skip
    model = SentencePieceModel(tmp_path / "xx.sp.model")
    (tokens,) = model.encode(["eins\u00a0zwei".encode()])
    assert "s\u00a0z".encode() in tokens
    assert model.count(tokens) == len(tokens) + 1 == len(b" ".join(tokens).decode().split())


def test_models_within_a_limit(models):
    cache = ModelCache()
    sizes = {language: (models / f"{language}.arpa.bin").stat().st_size for language in ("de", "el", "zh")}
    heap = sum((models / f"{language}.sp.model").stat().st_size * 4 for language in sizes)
    limit = heap + sizes["de"] + sizes["el"] + sizes["zh"] - 1
    for language in ("de", "el", "de", "zh"):
        cache.get(models, language, limit)
    assert cache.bytes == limit + 1 - sizes["el"]  # the least recently used, not the first
    for language in ("de", "el", "zh") * 2:
        expected = LanguageModel.load(models, language).perplexities(["ein Text, κείμενο, 文"])
        assert cache.get(models, language, 0).perplexities(["ein Text, κείμενο, 文"]) == expected
        assert len(cache) == 1
    assert cache.bytes == sizes["zh"] + 4 * (models / "zh.sp.model").stat().st_size


def mapped(folder: Path) -> set[str]:
    """The models of a folder that this process has mapped."""
    maps = Path("/proc/self/maps").read_text()
    return {path.name for path in folder.glob("*.arpa.bin") if str(path) in maps}


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_what_is_let_go_is_mapped_no_more(models, tmp_path, monkeypatch):
    folder = shutil.copytree(models, tmp_path / "models")
    cache = ModelCache()
    monkeypatch.setattr(score_module, "_model_cache", lambda: cache)
    for language in ("de", "el", "zh"):
        score_module.load_language_model(folder, language)
    assert mapped(folder) == {"de.arpa.bin", "el.arpa.bin", "zh.arpa.bin"}
    score_module.load_language_model(folder, "el", 0)
    assert mapped(folder) == {"el.arpa.bin"}


@pytest.mark.parametrize("suffix", [".sp.model", ".arpa.bin"])
def test_a_damaged_model_is_named(models, tmp_path, suffix):
    for path in models.glob("de.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / f"de{suffix}").write_bytes(b"no model")
    with pytest.raises(Exception, match=f"de{suffix}: cannot be loaded"):
        LanguageModel.load(tmp_path, "de")


@given(st.none() | st.integers(0, 40).map(lambda n: n / 10), st.none() | st.just((1.5, 3.0)))
def test_buckets_of_the_command(value, cutoffs):
    assert bucket_of(value, cutoffs) == plain.bucket(value, cutoffs)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["", "a", "bb", "é", " "]), max_size=12), st.sampled_from(["\n", "\r\n"]), st.booleans()
)
def test_documents_of_a_file(tmp_path_factory, lines, newline, ends):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(newline.join(lines).encode() + (newline.encode() if ends and lines else b""))
    expected = lines if lines and (lines[-1] or ends) else lines[:-1]
    for chunk in (1, 3, 1 << 18):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("corpus.perplexity.tools.CHUNK_BYTES", chunk)
            assert [one for part in read_documents([str(path)], False) for one in part] == [[one] for one in expected]
            found = [one for part in read_documents([str(path)], True) for one in part]
    runs = " ".join(one if one.strip() else "|" for one in lines).split("|")
    assert found == [run.split() for run in runs if run.strip()]


def test_command(models, tmp_path, capsys):
    text = tmp_path / "text.txt.xz"
    text.write_bytes(lzma.compress("Öffnen Sie das Menü.\n\nWählen Sie eine Datei aus.\n".encode()))
    cutoffs = tmp_path / "cutoffs.json"
    cutoffs.write_text('{"de": [1, 2]}')
    words = ["corpus", "score", str(text), "--models", str(models)]
    assert main([*words, "--language", "de", "--cutoffs", str(cutoffs)]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    model = LanguageModel.load(models, "de")
    first, last = model.perplexities(["Öffnen Sie das Menü.", "Wählen Sie eine Datei aus."]).tolist()
    assert [float(rows[0][0]), float(rows[2][0])] == pytest.approx([first, last])
    assert rows[0][2:] == ["tail", "Öffnen Sie das Menü."]
    assert rows[1] == ["", "0", "all", ""]

    assert main([*words, "--language", "de", "--paragraphs", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [[part["text"] for part in one["paragraphs"]] for one in found] == [
        ["Öffnen Sie das Menü."],
        ["Wählen Sie eine Datei aus."],
    ]
    assert [one["perplexity"] for one in found] == pytest.approx([first, last])

    assert main(words) == 0  # the language is found
    assert capsys.readouterr().out.startswith("de\t")
    cutoffs.write_text('{"zh": [1, 2]}')
    assert main([*words, "--language", "zh-Hant", "--cutoffs", str(cutoffs)]) == 0  # by the model and cut-offs of zh
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert float(rows[0][0]) == LanguageModel.load(models, "zh").perplexities(["Öffnen Sie das Menü."])
    assert rows[0][2] == "tail"
    assert main([*words, "--language", "qq"]) == 1
    assert "has no model of qq; there are de el zh" in capsys.readouterr().err


def test_command_reads_standard_input_as_it_comes(models):
    import subprocess

    command = [sys.executable, "-m", "pipeline", "corpus", "score", "--models", str(models), "--language", "de"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        process.stdin.write("Öffnen Sie das Menü.\n".encode())
        process.stdin.flush()
        assert process.stdout.readline().decode().endswith("\tÖffnen Sie das Menü.\n")  # while the input is open
        process.stdin.close()
        assert process.wait(240) == 0
