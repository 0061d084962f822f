"""Labelled text: documents, excerpts, what is held out; training on it."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.language.accuracy import accuracy, confusions
from corpus.language.identifier import load_identifier, make_identifier
from corpus.language.models.model_card import read_card, write_card
from corpus.language.models.own_model import code_of, words_alone
from corpus.language.settings import LanguageId
from corpus.language.training.labelled_text import (
    LabelledDocument,
    cut,
    draw_excerpts,
    find_files,
    read_documents,
    split_off,
)
from corpus.language.training.settings import IdentifierTraining
from corpus.language.training.train import train
from pipeline.cli import main
from pipeline.errors import XlmrError

ROOT = Path(__file__).parents[2]
GERMAN = "Der schnelle braune Fuchs springt über den faulen Hund und läuft danach in den Wald zurück."
OROMO = "Faayilii kana banuuf fuula jalqabaa irraa filannoo haaraa filadhu, ergasii tuqi."


# Text


def write(folder: Path, **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for language, text in texts.items():
        (folder / f"{language}.txt.xz").write_bytes(lzma.compress(text.encode()))
    return folder


def test_documents(tmp_path):
    write(tmp_path / "t", de="eins\nzwei  drei\n\n\nvier\n", zu="kunye")
    files = find_files(str(tmp_path / "t"))
    assert sorted(files) == ["de", "zu"]
    found = [document.paragraphs for document in read_documents("de", files["de"])]
    assert found == [["eins", "zwei drei"], ["vier"]]
    assert find_files(str(tmp_path / "t" / "*.txt.xz")) == files


def test_text_that_is_refused(tmp_path):
    (tmp_path / "no language here.txt").write_text("x")
    with pytest.raises(XlmrError, match="is not a language code"):
        find_files(str(tmp_path))
    (tmp_path / "de.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(XlmrError, match="cannot be read as text"):
        list(read_documents("de", [str(tmp_path / "de.txt")]))


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab 語"), max_size=60), st.integers(0, 60), st.integers(1, 30))
def test_a_cut_is_of_the_text(text, start, length):
    excerpt = cut(text, min(start, len(text)), length)
    assert excerpt in text
    assert len(excerpt) <= length + 30


def test_excerpts_are_the_same_again_and_have_lengths_of_a_crawl():
    text = " ".join(f"wort{n}" for n in range(5_000))
    made, again = (draw_excerpts([LabelledDocument("de", [text])], 20_000, np.random.default_rng(1)) for _ in range(2))
    assert made == again
    assert sum(map(len, made)) == pytest.approx(20_000, rel=0.1)
    assert 30 < np.median([len(excerpt) for excerpt in made]) < 55
    assert all(excerpt in text for excerpt in made)
    assert all(excerpt.startswith("wort") for excerpt in made)


def test_what_is_held_out_stays_held_out():
    documents = [LabelledDocument("de", [f"text {n}"]) for n in range(500)]
    kept, held_out = split_off(documents, 0.2)
    assert 60 < len(held_out) < 140
    assert split_off(documents[:100] + documents[200:], 0.2)[1] == [
        d for d in held_out if d in documents[:100] + documents[200:]
    ]
    assert {d.text for d in kept} | {d.text for d in held_out} == {d.text for d in documents}


def test_words_alone():
    assert words_alone("Das 3. HAUS—ist: «gut»!").split() == ["das", "haus", "ist", "gut"]
    assert words_alone("नमस्ते می‌خواهم ŋëf") == "नमस्ते می‌خواهم ŋëf"


def test_accuracy():
    measured = accuracy(["a", "a", "a", "b"], ["a", "b", "b", "b"])
    assert (measured["texts"], measured["right"], measured["right_mean_of_languages"]) == (4, 0.5, 0.6666)
    assert measured["languages"]["a"] == {"texts": 3, "right": 0.3333, "precise": 1.0}
    assert measured["confused"] == [["a", "b", 2]]
    assert confusions(measured, "a") == [("b", 2)]


# Training


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    """Some of samples/clean. lid.176 cannot say om."""
    texts = {}
    for language in ("cs", "de", "en", "es", "et", "eu", "fi", "fr", "id", "it", "nl", "om", "pl", "sv", "tr", "vi"):
        lines = lzma.decompress((ROOT / f"samples/clean/{language}.txt.xz").read_bytes()).decode().splitlines()
        texts[language] = "\n\n".join(lines[:60])
    return write(tmp_path_factory.mktemp("labelled"), **texts)


SMALL = IdentifierTraining(characters=20_000, buckets=5_000, epochs=30, held_out=0.3, quantise=False)


def test_training(labelled, tmp_path):
    path = train(str(labelled), tmp_path / "a", SMALL, "lid.176.ftz")
    card = read_card(path)
    assert set(card) >= {"model", "settings", "base", "text", "combination", "held_out"}
    assert set(card["held_out"]["paragraph"]) == {"base", "own", "combined"}
    right = {name: figures["languages"]["om"]["right"] for name, figures in card["held_out"]["paragraph"].items()}
    assert right["base"] == 0
    assert right["own"] > 0.9
    assert right["combined"] > 0.8  # om is rare in a crawl: a short text is not enough
    names, _ = load_identifier(LanguageId(labels="cc100", own_model=str(path))).identify([GERMAN, OROMO])
    assert names == ["de", "om"]
    again = train(str(labelled), tmp_path / "b", SMALL, "lid.176.ftz")
    assert again.read_bytes() == path.read_bytes()
    assert read_card(again) == card
    assert voters(card) == ["base", "own", "cld2"]


def voters(card) -> list[str]:
    return [voter["identifier"] for voter in card["combination"]["voters"]]


def test_training_without_cld2(labelled, tmp_path):
    path = train(str(labelled), tmp_path, SMALL.model_copy(update={"cld2": False}), "lid.176.ftz")
    card = read_card(path)
    assert voters(card) == ["base", "own"]
    names, _ = load_identifier(LanguageId(labels="cc100", own_model=str(path))).identify([GERMAN, OROMO])
    assert names == ["de", "om"]
    card["combination"]["voters"][1]["labels"].append("xx")
    write_card(path, card)
    with pytest.raises(XlmrError, match="learnt with other labels of own"):
        make_identifier(LanguageId(labels="cc100", own_model=str(path)))


def test_a_language_in_another_script_is_learnt_by_itself(labelled, tmp_path):
    """Text of ``om-Latn`` is text in om, under a label of its own."""
    (tmp_path / "text").mkdir()
    for file in labelled.iterdir():
        (tmp_path / "text" / file.name.replace("om.", "om-Latn.")).write_bytes(file.read_bytes())
    path = train(str(tmp_path / "text"), tmp_path / "out", SMALL, "lid.176.ftz")
    card = read_card(path)
    assert {"om-Latn"} == {name for name in card["text"] if name.startswith("om")}
    assert card["held_out"]["paragraph"]["own"]["languages"]["om"]["right"] > 0.9
    identifier = load_identifier(LanguageId(labels="cc100", own_model=str(path)))
    assert "om-Latn" not in identifier.codes
    assert identifier.identify([OROMO])[0] == ["om"]
    assert [code_of(label) for label in ("sr-Latn", "ku-Arab", "zh-Hans", "my_zaw")] == [
        "sr",
        "ku",
        "zh-Hans",
        "my_zaw",
    ]


def test_training_on_one_language(tmp_path):
    write(tmp_path / "t", de="ein Text\n")
    with pytest.raises(XlmrError, match="text in 1 languages"):
        train(str(tmp_path / "t"), tmp_path / "out", SMALL, "lid.176.ftz")


def test_train_lid_command(labelled, tmp_path, capsys):
    words = ["--characters", "20000", "--buckets", "5000", "--epochs", "30", "--held-out", "0.3", "--no-quantise"]
    assert main(["corpus", "train-lid", str(labelled), str(tmp_path / "out"), *words]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(tmp_path / "out/own.bin")
    assert "paragraph of text held out" in printed.err
