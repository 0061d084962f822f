"""Hugging Face's files: their tokenizer gives our ids, on the crawl and on random text; the rest is refused."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import XlmrError
from tokenizer.folder import load_tokenizer
from tokenizer.hugging_face import FILES, describe, write_files
from tokenizer.model_file import NORMAL, ModelFile, read_model, round_scores
from tokenizer.names import MODEL_FILE
from tokenizer.normaliser_json import YOUNG
from tokenizer.pieces import Tokenizer

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

CRAWL = Path(__file__).parents[2] / "samples" / "crawl"


def crawl_lines() -> list[str]:
    """Every line of the embedded crawl, once."""
    files = sorted(CRAWL.glob("*.gz"))
    return sorted({line for file in files for line in gzip.decompress(file.read_bytes()).decode().split("\n")})


def train(lines: list[str], path: Path, unrounded: Path | None = None, **options: Any) -> Path:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, minloglevel=2, num_threads=1, **options
    )
    if unrounded:
        unrounded.write_bytes(model.getvalue())
    path.write_bytes(round_scores(model.getvalue(), 10))
    return path


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return crawl_lines()


@pytest.fixture(scope="module")
def folder(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the crawl's own text with all files beside it."""
    folder = tmp_path_factory.mktemp("exported")
    kept = [line for line in lines[::40] if len(line) > 20]
    train(kept, folder / MODEL_FILE, unrounded=folder / "unrounded.model", vocab_size=6000)
    write_files(folder / MODEL_FILE, folder, model_max_length=512)
    return folder


@pytest.fixture(scope="module")
def bpe_folder(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with merges, as the papers compare with."""
    folder = tmp_path_factory.mktemp("merges")
    kept = [line for line in lines[::40] if len(line) > 20]
    train(kept, folder / MODEL_FILE, vocab_size=6000, model_type="bpe")
    write_files(folder / MODEL_FILE, folder, model_max_length=512)
    return folder


@pytest.fixture(scope="module")
def ours(folder: Path) -> Tokenizer:
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(str(folder))


@pytest.fixture(scope="module")
def model(folder: Path) -> ModelFile:
    return read_model(folder / MODEL_FILE)


def sentencepiece_ids(path: Path, texts: list[str]) -> list[list[int]]:
    """The plain way: SentencePiece's own ids by fairseq's table, not through our class."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    table = {0: 3, 1: 0, 2: 2}
    return [[table.get(number, number + 1) for number in ids] for ids in processor.encode(texts)]


def lines_apart(folder: Path, loaded: Any, some: list[str]) -> list[str]:
    expected = sentencepiece_ids(folder / MODEL_FILE, some)
    return [line for line, a, b in zip(some, loaded(some)["input_ids"], expected, strict=True) if a != [0, *b, 2]]


@pytest.mark.parametrize("name", ["XLMRobertaTokenizerFast", "AutoTokenizer"])
def test_lines_of_the_crawl(folder: Path, ours: Tokenizer, lines: list[str], name: str) -> None:
    loaded = getattr(transformers, name).from_pretrained(str(folder))
    some = lines[::30]
    assert lines_apart(folder, loaded, some) == []
    assert [ids.tolist() for ids in ours.encode_batch(some)] == sentencepiece_ids(folder / MODEL_FILE, some)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "bpe_folder"])
def test_every_line_of_the_crawl(kind: str, lines: list[str], request: pytest.FixtureRequest) -> None:
    """By what is under the loaded tokenizer: its own call makes lists of masks and types besides, for as long again."""
    folder = request.getfixturevalue(kind)
    backend = transformers.XLMRobertaTokenizerFast.from_pretrained(str(folder)).backend_tokenizer
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / MODEL_FILE))
    table = np.concatenate([[3, 0, 2], np.arange(3, processor.vocab_size()) + 1])
    expected = processor.encode(lines, return_type="numpy", num_threads=1)
    assert len(lines) > 180_000
    found = backend.encode_batch_fast(lines)
    apart = [
        line
        for line, a, b in zip(lines, found, expected, strict=True)
        if a.ids != [0, *(table[b].tolist() if len(b) else []), 2]
    ]
    assert apart == []


def test_without_rounded_scores_some_lines_differ(folder: Path, lines: list[str]) -> None:
    """Why scores are rounded: sums in 32 and in 64 bits break ties differently."""
    backend = tokenizers.Tokenizer.from_str(json.dumps(describe(read_model(folder / "unrounded.model"))))
    dotted = [line for line in lines if "..." in line or "…." in line or "000" in line]
    found = [one.ids for one in backend.encode_batch(dotted, add_special_tokens=False)]
    expected = sentencepiece_ids(folder / "unrounded.model", dotted)
    assert 0 < sum(a != b for a, b in zip(found, expected, strict=True)) < 60


AWKWARD = (
    "e\u0302\u0301 vie\u0302\u0323t",  # of which Precompiled alone makes ê
    "கெ\u0bbeப்பு",
    "ªั © \u034f▁\u034fx",
    "～\ufdd0\ufdd1\x80\x81",
    "\u1100\u1161\u11a8 ㄱㅏ \uac00\u11a8",
    "ꟲ\u0301㋿\u0301",
    "\u0085a\u2028b\u200bc\u00a0d",
    "＜ｍａｓｋ＞ ＜s＞ <unk> <pad>",
    "x\x00y\x1fz",
    " \u3000 ",
    "",
)


def strange_text(rules: list[str], known: list[str]) -> st.SearchStrategy[str]:
    parts = (
        st.sampled_from(rules),
        st.sampled_from(known),
        st.sampled_from(["  ", "\n", "▁", "～", "\x80", "\ufdd0", "<mask>", "</s>", "\u200d", "\u0e33", "..", "000"]),
        st.characters(exclude_categories=["Cs"]),
        st.characters(min_codepoint=0x300, max_codepoint=0x36F),
    )
    return st.lists(st.one_of(*parts), max_size=12).map("".join)


def test_random_text(folder: Path, ours: Tokenizer, theirs: Any, model: ModelFile) -> None:
    agree_on_random_text(folder, ours, theirs, model, 800)


def test_random_text_with_merges(bpe_folder: Path) -> None:
    theirs = transformers.XLMRobertaTokenizerFast.from_pretrained(str(bpe_folder))
    model = read_model(bpe_folder / MODEL_FILE)
    agree_on_random_text(bpe_folder, load_tokenizer(bpe_folder), theirs, model, 400)


def agree_on_random_text(folder: Path, ours: Tokenizer, theirs: Any, model: ModelFile, examples: int) -> None:
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.encode_special_tokens = True

    @settings(max_examples=examples, deadline=None)
    @given(strange_text(sorted(model.rules), sorted(model.characters)))
    def agree(text: str) -> None:
        found = backend.encode(text, add_special_tokens=False)
        expected = ours.encode(text).tolist()
        assert found.ids == expected
        if "<" not in text:  # otherwise <s> is the special piece there, and a text here
            assert theirs(text, add_special_tokens=False)["input_ids"] == expected
        ends = [end for _, end in found.offsets]
        assert all(0 <= start <= end <= len(text) for start, end in found.offsets)
        assert ends == sorted(ends) or any(map(is_mark, text))  # a piece never ends before one to its left

    for text in AWKWARD:
        agree = example(text)(agree)
    agree()


def is_mark(sign: str) -> bool:
    import unicodedata

    return unicodedata.normalize("NFKD", sign) != sign or unicodedata.category(sign)[0] in "MC"


def test_special_pieces(folder: Path, theirs: Any, ours: Tokenizer) -> None:
    size = ours.vocab_size
    assert len(theirs) == theirs.vocab_size == size
    special = [theirs.bos_token_id, theirs.pad_token_id, theirs.eos_token_id, theirs.unk_token_id, theirs.mask_token_id]
    assert special == [0, 1, 2, 3, size - 1]
    assert (theirs.cls_token_id, theirs.sep_token_id, theirs.model_max_length) == (0, 2, 512)
    assert theirs.convert_ids_to_tokens(list(range(size))) == ours.vocabulary
    a, b = ours.encode("the first file").tolist(), ours.encode("second").tolist()
    assert theirs("the first file", "second")["input_ids"] == [0, *a, 2, 2, *b, 2]
    left, right = ours.encode("open the").tolist(), ours.encode(" now").tolist()
    assert theirs("open the <mask> now")["input_ids"] == [0, *left, size - 1, *right, 2]
    assert theirs("open the <mask>")["input_ids"] == [0, *left, size - 1, 2]
    assert size - 1 not in theirs("＜ｍａｓｋ＞")["input_ids"]  # only what is written as it stands is special


def test_offsets_and_text_come_back(theirs: Any, lines: list[str]) -> None:
    text = "Tous les  êtres, 自由 ½ ﬁn"
    found = theirs(text, return_offsets_mapping=True, add_special_tokens=False)
    marked = [text[start:end] for start, end in found["offset_mapping"]]
    assert not any(part.startswith(" ") for part in marked)
    covered = {place for start, end in found["offset_mapping"] for place in range(start, end)}
    assert covered == {place for place, sign in enumerate(text) if sign != " "}
    plain = [line for line in lines if line.isascii() and "<" not in line][::200]
    decoded = [theirs.decode(ids, skip_special_tokens=True) for ids in theirs(plain)["input_ids"]]
    printable = [" ".join("".join(c if c.isprintable() else " " for c in line).split()) for line in plain]
    assert decoded == printable


def test_after_saving_it_is_the_same(theirs: Any, lines: list[str], tmp_path: Path) -> None:
    theirs.save_pretrained(str(tmp_path))
    backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    some = lines[::400]
    assert [one.ids for one in backend.encode_batch(some)] == theirs(some)["input_ids"]


@pytest.mark.parametrize(
    "options",
    [
        {"model_type": "bpe"},
        {"model_type": "bpe", "byte_fallback": True},
        {"byte_fallback": True},
        {"split_digits": True},
        {"split_by_whitespace": False},
        {"normalization_rule_name": "nfkc"},
        {"normalization_rule_name": "nmt_nfkc_cf"},
        {"normalization_rule_name": "identity"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_other_models(options: dict[str, Any], lines: list[str], tmp_path: Path) -> None:
    path = train([line for line in lines[::200] if len(line) > 20], tmp_path / "x.model", vocab_size=2800, **options)
    backend = tokenizers.Tokenizer.from_str(json.dumps(describe(read_model(path))))
    backend.encode_special_tokens = True
    runs = [sign * number for sign in "a.-=0" for number in range(2, 25)]
    texts = [*lines[::90], *runs, *(text for text in AWKWARD if "▁" not in text and "\x80" not in text), "<0x41>"]
    found = [one.ids for one in backend.encode_batch(texts, add_special_tokens=False)]
    apart = [t for t, a, b in zip(texts, found, sentencepiece_ids(path, texts), strict=True) if a != b]
    assert apart == []


def test_the_files_are_an_output_of_training(trained: Path) -> None:
    assert all((trained / name).is_file() for name in FILES)
    loaded = transformers.XLMRobertaTokenizerFast.from_pretrained(str(trained))
    ids = load_tokenizer(trained).encode("human rights").tolist()
    assert loaded("human rights")["input_ids"] == [0, *ids, 2]


def test_what_tokenizer_json_cannot_say(lines: list[str], tmp_path: Path) -> None:
    some = [line for line in lines[::200] if len(line) > 20]
    for options, words in (
        ({"remove_extra_whitespaces": False}, "keeps extra white space"),
        ({"user_defined_symbols": ["a b"]}, "the user-defined piece .* white space"),
        ({"user_defined_symbols": ["<x>"], "model_type": "bpe"}, "merges and user-defined pieces"),
        ({"model_type": "char"}, "of the kind char"),
    ):
        path = train(some, tmp_path / "x.model", vocab_size=3400, hard_vocab_limit=False, **options)
        with pytest.raises(XlmrError, match=words):
            write_files(path, tmp_path / "out")


def model_proto(path: Path) -> Any:
    """Read by Hugging Face's copy of the format's description."""
    import importlib

    proto = importlib.import_module("transformers.utils.sentencepiece_model_pb2_new").ModelProto()
    proto.ParseFromString(path.read_bytes())
    return proto


def test_model_file_against_protobuf(folder: Path, model: ModelFile) -> None:
    proto = model_proto(folder / MODEL_FILE)
    assert model.pieces == [piece.piece for piece in proto.pieces]
    assert model.scores.tolist() == [piece.score for piece in proto.pieces]
    assert model.types.tolist() == [piece.type for piece in proto.pieces]
    assert model.charsmap == proto.normalizer_spec.precompiled_charsmap
    assert (model.kind, model.normalisation) == ("unigram", proto.normalizer_spec.name)
    assert (model.dummy_prefix, model.remove_extra_white_space, model.byte_fallback) == (True, True, False)


def test_rounding_changes_scores_and_nothing_else(trained: Path, tmp_path: Path) -> None:
    data = (trained / MODEL_FILE).read_bytes()
    rounded = round_scores(data, 4)
    (tmp_path / "rounded").write_bytes(rounded)
    before, after = model_proto(trained / MODEL_FILE), model_proto(tmp_path / "rounded")
    for one, other in zip(before.pieces, after.pieces, strict=True):
        assert other.score == np.round(one.score * 16) / 16
        other.score = one.score
    assert before == after
    assert round_scores(rounded, 4) == rounded
    # What is trained here is rounded to 2^-10.
    scores = read_model(trained / MODEL_FILE).scores * 1024
    assert (scores == np.round(scores)).all()
    assert (scores != np.round(scores / 64) * 64).any()


def test_rules_are_what_sentencepiece_does(folder: Path, model: ModelFile) -> None:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / MODEL_FILE))
    keys = sorted(model.rules)[::37]
    for key in keys:
        value = " ".join(part for part in model.rules[key].split(" ") if part)
        assert processor.normalize(key).removeprefix("▁") == value.replace(" ", "▁"), ascii(key)
    assert len(model.rules) > 200_000


def test_young_characters_are_all_named(model: ModelFile) -> None:
    """Those of three bytes or fewer that tokenizers' NFKC does not know; white space and controls aside."""
    nfkc = tokenizers.normalizers.NFKC().normalize_str
    missing = {
        key
        for key, value in model.rules.items()
        if len(key) == 1 and key < "\U00010000" and value.strip() and nfkc(key) != value and key != "�"
    }
    assert missing <= set(YOUNG)


def test_scores_of_special_pieces_lie_under_all_others(model: ModelFile) -> None:
    vocabulary = describe(model)["model"]["vocab"]
    assert {score for _, score in [*vocabulary[:4], vocabulary[-1]]} == {-1000.0}
    assert [score for _, score in vocabulary[4:-1]] == model.scores[3:].tolist()
    assert min(model.scores[model.types == NORMAL]) > -50


@pytest.mark.parametrize("keep", [0, 1, 16, 1153, -40, -1])
def test_a_model_cut_short_is_one_clear_line(trained: Path, tmp_path: Path, keep: int) -> None:
    data = (trained / MODEL_FILE).read_bytes()
    (tmp_path / "cut.model").write_bytes(data[:keep])
    for read in (load_tokenizer, read_model):
        with pytest.raises(XlmrError, match=r"cut\.model: not a SentencePiece model, or cut short; .*again") as error:
            read(tmp_path / "cut.model")
        assert "\n" not in str(error.value)


def boundaries_between_pieces(data: bytes) -> Iterator[int]:
    from tokenizer.model_proto import ModelProto

    end = 0
    for piece in ModelProto.FromString(data).pieces:
        end += 2 + piece.ByteSize()  # tag and length: no piece here is longer than 127 bytes
        yield end


def test_a_model_cut_between_two_pieces_too(trained: Path, tmp_path: Path) -> None:
    """SentencePiece itself takes it, and normalises nothing from then on."""
    data = (trained / MODEL_FILE).read_bytes()
    for end in list(boundaries_between_pieces(data))[50::200]:
        sentencepiece.SentencePieceProcessor(model_proto=data[:end])
        (tmp_path / "cut.model").write_bytes(data[:end])
        with pytest.raises(XlmrError, match="cut short"):
            load_tokenizer(tmp_path / "cut.model")
