"""Comparable pages: addresses, groups, vectors, and what a training makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tiny_training import last_weights, losses_of, tiny_config, train_into

from pipeline.errors import UsageError, XlmrError
from pretrain.comparable import retrieval
from pretrain.comparable.addresses import without_language
from pretrain.comparable.pages import find_groups, read_pages
from pretrain.comparable.settings import ComparableSettings
from pretrain.comparable.start import DEVIATION, VECTORS
from pretrain.comparable.vectors import TokenCounts, token_vectors
from pretrain.folder import load_model, save_model
from pretrain.model import TABLE, MaskedLanguageModel, ModelConfig
from pretrain.stages import AblationConfig, ComparableConfig
from tests.pretrain.tiny_tokenizer import encoded_with, make_tokenizer

HELP = "https://help.example.org"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{HELP}/7.4/de/text/main.html", f"{HELP}/7.4/en-US/text/main.html"),
        (f"{HELP}/de/main.html", f"{HELP}/main.html"),
        (f"{HELP}/de", f"{HELP}/"),
        (f"{HELP}/main.html.de", f"{HELP}/main.html"),
        (f"{HELP}/main.html.sr@latin", f"{HELP}/main.html.pt_BR"),
        (f"{HELP}/main.de.html?page=2", f"{HELP}/main.fr.html?page=2"),
        (f"{HELP}/main?lang=de&page=2", f"{HELP}/main?page=2"),
        (f"{HELP}/main?page=2&hl=zh-Hant", f"{HELP}/main?page=2"),
        ("https://de.example.org/a/", "https://www.example.org/a"),
        ("http://nb-NO.example.org/a#top", "http://example.org/a#top"),
    ],
)
def test_addresses_that_differ_in_their_language_alone_are_one(one: str, other: str) -> None:
    found = without_language(pa.array([one, other]))
    assert found[0] == found[1], found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{HELP}/a.html", f"{HELP}/b.html"),
        (f"{HELP}/de/a", f"{HELP}/de/b"),
        (f"{HELP}/deb/a", f"{HELP}/a"),
        (f"{HELP}/a?page=1", f"{HELP}/a?page=2"),
        ("https://debian.org/a", "https://example.org/a"),
    ],
)
def test_other_addresses_stay_apart(one: str, other: str) -> None:
    found = without_language(pa.array([one, other]))
    assert found[0] != found[1], found


def test_patterns_take_the_place_of_the_usual_ones() -> None:
    addresses = pa.array(["https://x.org/deutsch-1", "https://x.org/english-1", f"{HELP}/de/a", None])
    found = without_language(addresses, [r"https://x\.org/(?P<language>[a-z]+)-[0-9]+"]).to_pylist()
    assert found == ["https://x.org/-1", "https://x.org/-1", None, None]


@pytest.mark.parametrize("pattern", ["https://[a-z", "https://.*"])
def test_a_pattern_that_says_no_language_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match=r"no regular expression|has no group \(\?P<language>"):
        ComparableSettings(patterns=(pattern,))


def write_corpus(folder: Path, pages: list[tuple[str, str, str]]) -> Path:
    """(address, language, text), laid out as corpus.regroup does."""
    for language in {language for _, language, _ in pages}:
        own = [page for page in pages if page[1] == language]
        columns = {name: [page[n] for page in own] for n, name in enumerate(("url", "language", "raw_content"))}
        table = pa.table(
            columns, pa.schema([("url", "string"), ("language", "string"), ("raw_content", "large_string")])
        )
        (folder / language).mkdir(parents=True)
        with (
            pa.OSFile(str(folder / language / "all-00000.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as to,
        ):
            to.write_table(table)
    return folder


PAGES = [
    (f"{HELP}/en/hen", "en", "the hen and the hat"),
    (f"{HELP}/de/hen", "de", "die henne und der hut"),
    (f"{HELP}/fr/hen", "fr", "la poule et le chapeau"),
    (f"{HELP}/en/dog", "en", "the dog and the hound"),
    (f"{HELP}/de/dog", "de", "der hund und die hunde"),
    (f"{HELP}/en/alone", "en", "the hot tin"),
    (f"{HELP}/fr/twice", "fr", "une page"),
    (f"{HELP}/twice", "fr", "une page"),
]


def test_groups_are_pages_in_two_languages(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path, PAGES)
    groups = find_groups(corpus, ComparableSettings())
    assert groups.keys.to_pylist() == [f"{HELP}/hen", f"{HELP}/dog"]
    assert groups.languages.tolist() == [3, 2]
    read = sorted((group, language) for batch in read_pages(corpus, groups) for group, language, _ in batch)
    assert read == [(-1, "en"), (-1, "fr"), (-1, "fr"), (0, "de"), (0, "en"), (0, "fr"), (1, "de"), (1, "en")]


def test_groups_may_be_listed(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", PAGES)
    listed = tmp_path / "links.tsv"
    listed.write_text(f"a\t{HELP}/en/alone\na\t{HELP}/twice\nb\t{HELP}/en/dog\nb\t{HELP}/de/hen\n")
    groups = find_groups(corpus, ComparableSettings(groups=(str(listed),)))
    assert len(groups) == 2
    assert groups.of(pa.array([f"{HELP}/en/alone", f"{HELP}/twice", f"{HELP}/de/dog"])).tolist() == [0, 0, -1]
    listed.write_text(f"a {HELP}/twice\n")
    with pytest.raises(XlmrError, match=r"links.tsv, line 1: no group and address; write group<TAB>address"):
        find_groups(corpus, ComparableSettings(groups=(str(listed),)))


def test_a_corpus_without_such_pages_says_so(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path, [(f"{HELP}/en/{n}", "en", "text") for n in range(9)])
    with pytest.raises(XlmrError, match="0 pages are there in two languages, by their addresses; give"):
        find_groups(corpus, ComparableSettings())


def counted(seed: int = 1, words: int = 12, pages: int = 40) -> TokenCounts:
    """Two languages in which token n and token words + n mean the same; one token is in both."""
    draw, counts = np.random.default_rng(seed), TokenCounts(2 * words + 2, pages)
    for page in range(pages):
        means = draw.choice(words, 4, replace=False)
        for language, shift in (("en", 0), ("de", words)):
            counts.add(page, language, np.repeat(np.append(means + shift, 2 * words), 3).astype(np.int32))
    return counts


def test_vectors_of_translations_are_near_and_languages_have_no_mean() -> None:
    counts = counted()
    known, vectors = token_vectors(counts, 16, 1)
    assert known.tolist() == list(range(25))  # the last token stands on no page
    assert np.sqrt(np.mean(np.square(vectors))) == pytest.approx(1, rel=0.3)
    words = vectors[:24] / np.linalg.norm(vectors[:24], axis=1, keepdims=True)
    nearest = (words[:12] @ words[12:].T).argmax(1)
    assert (nearest == np.arange(12)).all()
    shares = counts.by_language()[known] / counts.by_language().sum(0)
    np.testing.assert_allclose(shares.T @ vectors, 0, atol=1e-5)


def test_vectors_are_the_same_each_time_and_padded_where_pages_are_few() -> None:
    one, other = (token_vectors(counted(pages=6), 16, 1)[1] for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert one.shape[1] == 16
    assert not one[:, 5:].any()
    assert one[:, :5].any(0).all()


def comparable_config(**train: Any) -> Any:
    return tiny_config(initialisation="comparable_pages", **train)


def stage_output(folder: Path, tokenizer: Path, corpus: Path, make_context: Any, config: Any) -> Path:
    from pretrain.comparable.stage import run

    folder.mkdir()
    own = ComparableConfig(model=config.model, data=config.data, comparable=config.comparable, train=config.train)
    counts = run(own, {"corpus.regroup": corpus, "tokenizer.train": tokenizer}, folder, make_context(folder))
    if config.train.from_comparable_pages:
        assert (counts["pages"], counts["languages"], counts["languages_per_page"]) == (2, 3, 2.5)
    else:
        assert counts == {}
        assert not list(folder.iterdir())
    return folder


def test_training_begins_with_the_vectors_and_keeps_what_is_frozen(tmp_path: Path, make_context: Any) -> None:
    tokenizer = make_tokenizer(tmp_path / "tokenizer")
    corpus = write_corpus(tmp_path / "corpus", PAGES)
    sequences = encoded_with(tmp_path / "sequences", tokenizer)
    config = comparable_config(embedding_rate=0.0)
    vectors = stage_output(tmp_path / "vectors", tokenizer, corpus, make_context, config)
    inputs = {"tokenizer.train": tokenizer, "pretrain.comparable": vectors}
    train_into(tmp_path / "frozen", sequences, make_context, config, **inputs)
    found, table = load_file(vectors / VECTORS), last_weights(tmp_path / "frozen")[TABLE]
    torch.testing.assert_close(table[found["tokens"]], DEVIATION * found["vectors"], rtol=0, atol=0)
    free, _ = train_into(tmp_path / "free", sequences, make_context, comparable_config(), **inputs)
    assert free["steps"] == 20
    assert not torch.equal(last_weights(tmp_path / "free")[TABLE], table)
    assert losses_of(tmp_path / "free")[0] == losses_of(tmp_path / "frozen")[0]


def test_slow_rows_move_less(tmp_path: Path, sequences: Path, make_context: Any) -> None:
    moved = []
    for rate in (1.0, 0.1, 0.0):
        train_into(tmp_path / f"{rate}", sequences, make_context, tiny_config(embedding_rate=rate, steps=3))
        moved.append(last_weights(tmp_path / f"{rate}")[TABLE])
    assert (moved[0] - moved[2]).norm() > 2 * (moved[1] - moved[2]).norm() > 0


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_every_zero_stage_holds_the_table_back(
    stage: int, rate: float, tmp_path: Path, sequences: Path, make_context: Any
) -> None:
    for zero in (0, stage):
        train_into(tmp_path / f"{zero}", sequences, make_context, tiny_config(embedding_rate=rate, zero_stage=zero))
    one, other = (last_weights(tmp_path / f"{zero}") for zero in (0, stage))
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=2e-4, atol=2e-5)


def test_vectors_of_another_size_are_one_line(tmp_path: Path, sequences: Path, make_context: Any) -> None:
    save_file({"tokens": torch.arange(4), "vectors": torch.zeros(4, 8)}, tmp_path / VECTORS)
    with pytest.raises(XlmrError, match=r"vectors of 8 numbers for ids up to 3, the model's table is \(40, 32\); run"):
        train_into(tmp_path / "out", sequences, make_context, comparable_config(), **{"pretrain.comparable": tmp_path})


def test_a_training_that_starts_otherwise_needs_no_pages(tmp_path: Path, make_context: Any) -> None:
    stage_output(tmp_path / "none", tmp_path, tmp_path, make_context, tiny_config())


def test_the_ablation_is_the_training_without_pages(tmp_path: Path, make_context: Any) -> None:
    from pretrain.ablation import MODEL, TRAINING, run

    tokenizer = make_tokenizer(tmp_path / "tokenizer")
    sequences = encoded_with(tmp_path / "sequences", tokenizer)
    config = comparable_config(embedding_rate=0.0)
    own = AblationConfig(**{**dict(config), "comparable": ComparableSettings(ablation=True)})
    inputs = {"tokenizer.encode": sequences, "tokenizer.train": tokenizer}
    output = tmp_path / "ablation"
    assert run(own, inputs, output, make_context(output))["steps"] == 20
    train_into(tmp_path / "plain", sequences, make_context, tiny_config(), **{"tokenizer.train": tokenizer})
    assert losses_of(output / TRAINING) == losses_of(tmp_path / "plain")
    exported = load_model(output / MODEL).encoder.embeddings.tokens.weight
    torch.testing.assert_close(exported, last_weights(tmp_path / "plain")[TABLE], rtol=0, atol=0)
    off = AblationConfig(**dict(config))
    assert run(off, inputs, tmp_path / "off", make_context(tmp_path / "off")) == {}


class Spelling:
    """In place of a model: a text's vector counts its letters, and says its language by a large number."""

    def encode(self, texts: list[str]) -> Any:
        counts = [[text.lower().count(letter) for letter in "abcdefghij"] for text in texts]
        return np.array([[*row, 9 * text[0].isupper()] for row, text in zip(counts, texts, strict=True)], np.float32)


def test_retrieval_finds_what_is_alike(tmp_path: Path) -> None:
    draw, pages = np.random.default_rng(3), []
    for number in range(25):
        word = "".join(draw.choice(list("abcdefghij"), 30))
        pages += [(f"{HELP}/en/{number}", "en", word), (f"{HELP}/de/{number}", "de", word[::-1].upper())]
        pages.append((f"{HELP}/fr/{number}", "fr", "".join(draw.choice(list("abcdefghij"), 30))))
    pages.append((f"{HELP}/it/1", "it", "x"))  # too few to count
    texts = retrieval.comparable_texts(write_corpus(tmp_path, pages), 100)
    found = retrieval.measure("spelling", Spelling(), texts)  # type: ignore[arg-type]
    assert found.pairs == 6
    assert found.at_random == 0.04
    assert 2 / 6 <= found.found_without_means < 0.5  # en and de wholly, the others by chance
    with pytest.raises(UsageError, match="no two languages have 20 pages in common"):
        retrieval.measure("few", Spelling(), {"en": {0: "a"}, "de": {0: "b"}})  # type: ignore[arg-type]


def test_the_tool_says_a_line_for_each_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = make_tokenizer(tmp_path / "tokenizer")
    folder = tmp_path / "model"
    torch.manual_seed(1)
    shape = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    save_model(MaskedLanguageModel(ModelConfig(vocab_size=62, **shape)), folder, tokenizer / "sentencepiece.bpe.model")
    corpus = write_corpus(
        tmp_path / "corpus", [(f"{HELP}/{lg}/{n}", lg, f"the hen {n} hunts") for n in range(20) for lg in ("en", "de")]
    )
    (corpus / "counts.json").write_text("{}")
    retrieval.retrieval(folder, folder, corpus=corpus, as_json=True)
    one, two = map(json.loads, capsys.readouterr().out.splitlines())
    assert one == two
    assert (one["pairs"], one["at_random"]) == (2, 0.05)
    retrieval.retrieval(folder, corpus=corpus)
    assert "of pages find their translation" in capsys.readouterr().out
