"""Models from Wikipedia dumps and other text; models that somebody else made; the command that trains one."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from language_models import clean_text, train_models

from corpus.perplexity.ready_made import ready_made_models, take_language
from corpus.perplexity.score import LanguageModel
from corpus.perplexity.settings import LanguageModels
from corpus.perplexity.texts import language_of, read_texts
from corpus.perplexity.train import files_by_language
from pipeline.cli import main
from pipeline.errors import XlmrError

DUMP = "dewiki-20190304-cirrussearch-content.json.gz"
ARTICLES = [
    {"wiki": "dewiki", "language": "de", "title": "A", "opening_text": " A ist ein\nBuchstabe. ", "text": "A, lang."},
    {"wiki": "dewiki", "language": "de", "title": "B", "opening_text": None, "text": "B, lang."},
    {"wiki": "dewiki", "language": "de", "title": "C", "text": "C, lang."},
    {"wiki": "dewiki", "language": "de", "title": "D", "opening_text": "D \ud800 auch.", "text": ""},
]


def gzipped(content: bytes) -> bytes:
    """Without the time, which would be in the names of the tests."""
    return gzip.compress(content, mtime=0)


def cirrus(articles: list[dict]) -> bytes:
    """A CirrusSearch dump: index entries and articles by turns."""
    lines = [line for n, article in enumerate(articles) for line in ({"index": {"_id": n}}, article)]
    return gzipped("".join(json.dumps(line) + "\n" for line in lines).encode())


def zstandard(text: str) -> bytes:
    return pa.Codec("zstd").compress(text.encode(), asbytes=True)


def german(count: int, start: int = 0) -> str:
    """Documents, a line each, that differ."""
    words = ["der", "die", "das", "Haus", "Baum", "geht", "steht", "rot", "grün", "schnell", "Öffnung", "Menü", "Datei"]
    lines = (" ".join(words[(n * k + k * k) % len(words)] for k in range(1, 14)) for n in range(start, start + count))
    return "".join(line + ".\n" for line in lines)


def test_articles_of_a_wikipedia_dump(tmp_path):
    path = tmp_path / DUMP
    path.write_bytes(cirrus(ARTICLES))
    assert list(read_texts(str(path))) == ["A ist ein\nBuchstabe.", "D \ud800 auch."]
    assert list(read_texts(str(path), "text")) == ["A, lang.", "B, lang.", "C, lang."]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("de.txt", "eins\n\n zwei\u2028drei \n".encode()),
        ("de.txt.gz", gzipped(b"eins\n") + gzipped("zwei\u2028drei".encode())),
        ("de.txt.xz", lzma.compress("eins\nzwei\u2028drei\n".encode())),
        ("de.txt.bz2", bz2.compress("eins\nzwei\u2028drei\n".encode())),
        ("de.txt.zst", zstandard("eins\n") + zstandard("zwei\u2028drei")),
        ("de.jsonl", b'{"text": "eins"}\n{"id": 3}\n\n{"text": "zwei\\u2028drei", "x": 1}\n{"text": null}\n[]\n'),
        ("de.jsonl.gz", gzipped(b'{"text": "eins"}\n{"text": "zwei\\u2028drei"}\n')),
    ],
)  # fmt: skip
def test_forms_of_text(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert list(read_texts(str(tmp_path / name))) == ["eins", "zwei\u2028drei"]
    assert language_of(str(tmp_path / name)) == "de"


def test_tables(tmp_path):
    table = pa.table({"id": [1, 2, 3, 4], "text": ["eins", None, " ", "zwei"]})
    pa.parquet.write_table(table, tmp_path / "de.parquet", row_group_size=2)
    with pa.ipc.new_file(str(tmp_path / "de.arrow"), table.schema) as writer:
        writer.write_table(table, 2)
    for name in ("de.parquet", "de.arrow"):
        assert list(read_texts(str(tmp_path / name))) == ["eins", "zwei"]
    pa.parquet.write_table(table.drop(["text"]), tmp_path / "de.parquet")
    with pytest.raises(XlmrError, match="has no column 'text', only id"):
        list(read_texts(str(tmp_path / "de.parquet")))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("de.txt.gz", gzipped(german(500).encode())[:-400]),
        ("de.txt.xz", lzma.compress(german(500).encode())[:-100]),
        ("de.txt.zst", zstandard(german(500))[:-20]),
        ("de.txt.gz", b"no gzip at all"),
        ("de.txt", b"gut\n\xff\xfe\n"),
        ("de.jsonl", b'{"text": "gut"}\n{"text": \n'),
        ("de.parquet", b"PAR1 and nothing"),
        ("de.arrow", b"ARROW1 and nothing"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(XlmrError, match=name) as caught:
        list(read_texts(str(tmp_path / name)))
    assert "\n" not in str(caught.value)


def test_language_of_a_file(tmp_path):
    assert language_of("s3://x/no.txt.zst") == "no"
    assert language_of(f"/y/{DUMP}") == "de"
    assert language_of("zh-Hans.parquet") == "zh-Hans"
    (tmp_path / "articles.json.gz").write_bytes(cirrus(ARTICLES))
    assert language_of(str(tmp_path / "articles.json.gz")) == "de"
    (tmp_path / "articles.jsonl").write_text('{"text": "who knows", "language": "../etc"}\n')
    for name in ("simplewiki-20190304-cirrussearch-content.json", "articles.txt", "..txt"):
        with pytest.raises(XlmrError, match="is not a language code"):
            language_of(str(tmp_path / name)) if name.endswith("txt") else language_of(str(tmp_path / "articles.jsonl"))
    assert files_by_language(["b/de.txt", "a/fr.txt", "a/de.txt.gz"]) == {
        "de": ["b/de.txt", "a/de.txt.gz"],
        "fr": ["a/fr.txt"],
    }


def test_a_dump_makes_the_models_that_its_text_makes(tmp_path):
    """Whatever form the documents come in; the first so many, in order."""
    documents = german(300).splitlines()
    train_models(tmp_path / "text", {"de": "\n".join(documents[:200])})
    dump = tmp_path / DUMP
    dump.write_bytes(cirrus([{"opening_text": text, "language": "de"} for text in documents]))
    words = ["--documents", "200", "--vocab-size", "300", "--sort-memory", "50M"]
    assert main(["corpus", "train-lm", str(dump), str(tmp_path / "dump"), *words]) == 0
    assert sorted(path.name for path in (tmp_path / "dump").iterdir()) == ["de.arpa.bin", "de.sp.model"]
    for name in ("de.arpa.bin", "de.sp.model"):
        assert (tmp_path / "dump" / name).read_bytes() == (tmp_path / "text/models" / name).read_bytes()


def test_pruning_and_tries(tmp_path):
    """Less to store: a trie scores the same, a quantised one nearly, a pruned model otherwise."""
    text, unseen = "\n".join(clean_text("de", 0, 60)), clean_text("de", 60, 80)
    found = {}
    for name, options in {
        "probing": {},
        "trie": {"structure": "trie"},
        "quantised": {"structure": "quantised trie"},
        "pruned": {"prune": (0, 0, 3)},
    }.items():
        folder = train_models(tmp_path / name, {"de": text}, **options)
        found[name] = LanguageModel.load(folder, "de").perplexities(unseen), (folder / "de.arpa.bin").stat().st_size
    values, size = found["probing"]
    assert found["trie"][0].tolist() == values.tolist()
    assert found["quantised"][0] == pytest.approx(values, rel=0.1)
    assert found["pruned"][0].tolist() != values.tolist()
    assert size > found["trie"][1] > found["quantised"][1]
    assert size > found["pruned"][1]


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Path:
    """A folder of models of two languages."""
    texts = {language: "\n".join(clean_text(language, 0, 40)) for language in ("de", "el")}
    return train_models(tmp_path_factory.mktemp("ready"), texts)


def test_models_that_somebody_else_made(ready, fresh):
    words = ("--corpus.language_models.folder", str(ready))
    fresh.run(*words, until="corpus.language_models")
    output = fresh.output("corpus.language_models", *words)
    for path in ready.iterdir():
        assert (output / path.name).samefile(path)  # linked, not copied
    manifest = json.loads((output / "manifest.json").read_text())
    assert {Path(name).name for name in manifest["outside"]} == {path.name for path in ready.iterdir()}
    assert manifest["counts"]["by_language"]["de"]["tokens_known"] > 0.9


def test_models_of_another_file_system_are_referred_to(ready, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    take_language(ready_made_models(str(ready))["de"], tmp_path)
    assert (tmp_path / "de.arpa.bin").is_symlink()
    assert (tmp_path / "de.arpa.bin").read_bytes() == (ready / "de.arpa.bin").read_bytes()


def test_models_at_a_remote_address_are_fetched(ready, tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in ready.glob("de.*"):
        memory.pipe_file(f"/models/{path.name}", path.read_bytes())
    take_language(ready_made_models("memory://models")["de"], tmp_path)
    assert (tmp_path / "de.sp.model").read_bytes() == (ready / "de.sp.model").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "el.arpa.bin").unlink(), "el.arpa.bin missing"),
        (lambda folder: (folder / "de.sp.model").unlink(), "de.sp.model missing"),
        (lambda folder: (folder / "de.arpa.bin").write_bytes(b"x" * 99), "de.arpa.bin: cannot be loaded"),
        (lambda folder: (folder / "el.sp.model").replace(folder / "de.sp.model"), "el.sp.model missing"),
        (
            lambda folder: (folder / "de.sp.model").write_bytes((folder / "el.sp.model").read_bytes()),
            "are of different models",
        ),
        (lambda folder: [(folder / f"el{s}").rename(folder / f"a b{s}") for s in (".sp.model", ".arpa.bin")], "'a b'"),
    ],
)
def test_models_that_do_not_fit_get_one_line(ready, tmp_path, change, message):
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in ready.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    change(folder)
    (tmp_path / "out").mkdir()
    with pytest.raises(XlmrError) as caught:
        take_language(ready_made_models(str(folder))["de"], tmp_path / "out")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.txt"], "none.txt: no such file"),
        (["empty/de.txt"], "holds no text"),
        (["two/*.txt"], "files of 2 languages: de el"),
        (["two/de.txt", "--language", "../x"], "'../x' is not a language code"),
        (["two/de.txt", "--vocab-size", "3"], "--vocab-size: Input should be greater than or equal to 64"),
        (["two/de.txt", "--sort-memory", "lots"], "--sort-memory"),
    ],
)
def test_command_says_what_is_wrong(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    for name, text in (("empty/de.txt", "\n \n"), ("two/de.txt", german(50)), ("two/el.txt", german(50))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert main(["corpus", "train-lm", words[0], "out", *words[1:]]) != 0
    assert message in capsys.readouterr().err
    assert not list(Path("out").glob("**/*")) if Path("out").exists() else True


def test_several_files_of_a_language_are_one_text(tmp_path):
    train_models(tmp_path / "one", {"de": german(200)})
    (tmp_path / "a").mkdir()
    (tmp_path / "a/de.txt").write_text(german(120))
    (tmp_path / "b").mkdir()
    (tmp_path / "b/de.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in german(80, 120).splitlines()))
    words = ["--vocab-size", "300", "--sort-memory", "50M", "--language", "de"]
    assert main(["corpus", "train-lm", str(tmp_path / "[ab]/de.*"), str(tmp_path / "out"), *words]) == 0
    for name in ("de.arpa.bin", "de.sp.model"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "one/models" / name).read_bytes()


def test_a_folder_is_its_files_and_little_text_is_reported(tmp_path, fresh):
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "de.txt").write_text(german(400))
    (tmp_path / "clean" / "is.txt").write_text(german(3))
    words = ["--corpus.language_models.text", f"{tmp_path}/clean/", "--corpus.language_models.vocab_size", "300"]
    done = fresh.run(*words, until="corpus.language_models")["corpus.language_models"].manifest
    assert sorted(done.counts["by_language"]) == ["de", "is"]
    assert sorted(Path(address).name for address in done.outside) == ["de.txt", "is.txt"]
    assert done.warnings == ["under 1,000 tokens of clean text, so perplexities are unreliable: is"]


def test_without_clean_text_no_model_is_trained(fresh, monkeypatch):
    """An empty text once meant the root of the file system. KenLM's programs are not asked for."""
    monkeypatch.setattr("corpus.perplexity.train.find_program", lambda name: None)
    done = fresh.run("--corpus.language_models.text", "", until="corpus.language_models")
    manifest = done["corpus.language_models"].manifest
    assert (manifest.counts, manifest.outside) == ({"languages": 0, "by_language": {}}, {})


def test_settings_of_tries_are_closed():
    with pytest.raises(ValueError, match="quantised trie"):
        LanguageModels(structure="tree")


def test_books_in_one_line_are_learnt_from(tmp_path, fresh):
    """SentencePiece passes over lines of more than 64 KiB without a word."""
    (tmp_path / "clean").mkdir()
    words = ["η", "γλώσσα", "είναι", "μέσο", "και", "τρόπος", "επικοινωνίας", "των", "ανθρώπων", "σε", "κάθε", "χρόνο"]
    books = [" ".join(words[(n * k) % 12] for k in range(1, 9000)) for n in range(1, 4)]
    assert all(len(book.encode()) > 90_000 for book in books)
    (tmp_path / "clean" / "el.txt").write_text("\n".join([*books, "ab ab"]))
    options = ["--corpus.language_models.text", f"{tmp_path}/clean/", "--corpus.language_models.vocab_size", "64"]
    done = fresh.run(*options, until="corpus.language_models")["corpus.language_models"]
    assert done.manifest.counts["by_language"]["el"]["long_lines"] == 3
    assert "3 lines of more than 65,536 bytes are learnt from in parts" in done.manifest.warnings[0]
    tokens = {token for token, _ in load_vocabulary(done.output / "el.sp.model")}
    assert len({c for token in tokens for c in token if "α" <= c <= "ω"}) > 15


def load_vocabulary(path: Path) -> list[tuple[str, float]]:
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return [(model.id_to_piece(n), model.get_score(n)) for n in range(model.get_piece_size())]
