"""Training: the same bytes each time, refusals in one line with the fix, the log understood."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import XlmrError
from pipeline.log import EventLog
from pipeline.progress import ProgressBar
from tokenizer.folder import load_tokenizer
from tokenizer.pieces import Tokenizer
from tokenizer.settings import TokenizerSettings
from tokenizer.train import lines_or_ticks, trainer_options
from tokenizer.trainer_log import TrainerLog


def text_folder(folder: Path, *lines: str) -> Path:
    (folder / "text" / "en").mkdir(parents=True)
    (folder / "text" / "en" / "head-00000.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def test_what_it_makes(trained: Path, tokenizer: Tokenizer) -> None:
    rows = [line.split("\t") for line in (trained / "vocabulary.tsv").read_text(encoding="utf-8").splitlines()]
    assert rows[0] == ["id", "piece", "score"]
    assert [row[1] for row in rows[1:]] == tokenizer.vocabulary
    assert [int(row[0]) for row in rows[1:]] == list(range(702))
    assert "EM sub_iter" in (trained / ".trainer.log").read_text(encoding="utf-8")


def test_same_model_each_time_and_nothing_of_the_place_in_it(
    corpus: Path, trained: Path, run_stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_stage("tokenizer.sample", {}, {"corpus.regroup": corpus}, tmp_path / "elsewhere" / "sample", workers=2)
    monkeypatch.chdir(tmp_path)
    counts, _ = run_stage(
        "tokenizer.train",
        {"train": {"vocab_size": 700}},
        {"tokenizer.sample": Path("elsewhere/sample")},
        Path("elsewhere/train"),
    )
    model = (tmp_path / "elsewhere" / "train" / "sentencepiece.bpe.model").read_bytes()
    assert model == (trained / "sentencepiece.bpe.model").read_bytes()
    assert b"elsewhere" not in model
    assert counts["vocab_size"] == 702


def test_too_little_text_for_the_vocabulary(run_stage: Any, tmp_path: Path) -> None:
    inputs = {"tokenizer.sample": text_folder(tmp_path / "sample", "a few words only, and a few more words")}
    with pytest.raises(XlmrError, match=r"give at most (\d+) pieces, not 250,000; lower .*vocab_size to \d+,") as e:
        run_stage("tokenizer.train", {}, inputs, tmp_path / "out")
    assert "\n" not in str(e.value)
    most = int(str(e.value).partition("at most ")[2].partition(" ")[0])
    counts, _ = run_stage("tokenizer.train", {"train": {"vocab_size": most}}, inputs, tmp_path / "again")
    assert counts["vocab_size"] == most + 2


def test_too_many_characters_for_the_vocabulary(run_stage: Any, tmp_path: Path) -> None:
    signs = "".join(chr(code) for code in range(0x4E00, 0x4E40))
    inputs = {"tokenizer.sample": text_folder(tmp_path / "sample", *[signs] * 5)}
    with pytest.raises(XlmrError, match=r"has 6\d characters that each need a piece, .* raise .*vocab_size"):
        run_stage("tokenizer.train", {"train": {"vocab_size": 32}}, inputs, tmp_path / "out")


def test_no_text(run_stage: Any, tmp_path: Path) -> None:
    with pytest.raises(XlmrError, match="there is no text to train on"):
        run_stage("tokenizer.train", {}, {"tokenizer.sample": text_folder(tmp_path / "s")}, tmp_path / "out")


def test_reserved_character_is_reported(run_stage: Any, tmp_path: Path) -> None:
    lines = [f"this is line {number} of some" for number in range(30)]
    inputs = {"tokenizer.sample": text_folder(tmp_path / "sample", *lines, "a bar ▅ of a chart")}
    _, context = run_stage("tokenizer.train", {"train": {"vocab_size": 27}}, inputs, tmp_path / "out")
    assert context.warnings == ["1 lines hold a character that SentencePiece reserves (U+2585): dropped"]


def phases_of(log: TrainerLog, lines: Iterable[str]) -> list[tuple[str, float, float | None, str]]:
    seen = [(log.phase, log.done, log.total, log.note)]
    for line in lines:
        log.read(line)
        seen.append((log.phase, log.done, log.total, log.note))
    return seen


def test_progress_is_phases_and_a_share_only_where_it_is_counted() -> None:
    log = TrainerLog(16_000, 8_000_000)
    lines = (
        "READ 4000000",
        "I0000 trainer_interface.cc:446] Loaded all 5715 sentences",
        "I0000 trainer_interface.cc:601] Alphabet size=2203",
        "I0000 unigram_model_trainer.cc:327] Extracting seed sentencepieces (libsais_omp, 16 threads)",
        "I0000 unigram_model_trainer.cc:514] Initialized 360313 seed pieces",
        "",  # a second without a line
        "I0000 unigram_model_trainer.cc:903] EM sub_iter=0 size=117540 obj=16.5791 num_tokens=1266063",
        "I0000 unigram_model_trainer.cc:903] EM sub_iter=1 size=18678 obj=17.0883 num_tokens=1742130",
        "I0000 trainer_interface.cc:755] Saving model: ",
    )
    assert phases_of(log, lines) == [
        ("reading the text", 0, 8_000_000, ""),
        ("reading the text", 4_000_000, 8_000_000, ""),
        ("normalising the text", 0, None, ""),
        ("splitting the text", 0, None, ""),
        ("finding candidates", 0, None, ""),
        ("counting words", 0, None, "360,313 candidates"),
        ("counting words", 0, None, "360,313 candidates"),
        ("pruning candidates", 0, None, "117,540 candidates left, 16,000 are wanted, 1 passes done"),
        ("pruning candidates", 0, None, "18,678 candidates left, 16,000 are wanted, 2 passes done"),
        ("writing", 0, None, ""),
    ]
    assert (log.lines, log.alphabet) == (5715, 2203)


def test_progress_of_bpe() -> None:
    log = TrainerLog(1_862, 8_000_000)
    lines = (
        "I0000 trainer_interface.cc:448] Sampled 100000 sentences from 448501 sentences.",
        "I0000 trainer_interface.cc:601] Alphabet size=862",
        "I0000 bpe_model_trainer.cc:421] Merged: freq=7994 merges=100 piece=con",
        "I0000 bpe_model_trainer.cc:421] Merged: freq=50 merges=900 piece=er",
        "I0000 bpe_model_trainer.cc:438] Completed 1000 merge steps.",
    )
    seen = [(phase, done, total) for phase, done, total, _ in phases_of(log, lines)]
    assert seen[3:] == [("merging", 100, 1000), ("merging", 900, 1000), ("writing", 0, None)]
    assert log.lines == 100_000


def test_a_silent_trainer_is_shown_to_be_alive() -> None:
    """A quarter of the time goes by without a line of the log: the phase's time is shown all the same."""
    go_on = threading.Event()

    def lines() -> Iterator[str]:
        yield "first"
        go_on.wait()
        yield "second"

    seen = []
    for line in lines_or_ticks(lines(), tick=0.01):
        seen.append(line)
        if seen.count("") == 3:
            go_on.set()
    assert [line for line in seen if line] == ["first", "second"]
    assert seen.count("") >= 3


def test_phases_are_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.progress.PLAIN_SECONDS", 0.0)
    with ProgressBar("tokenizer.train", None, "", EventLog(tmp_path / "log.jsonl")) as bar:
        bar.show("reading the text", 4000, 8000, "bytes")
        bar.show("finding candidates", 0, None, "")
        bar.show("pruning candidates", 0, None, "", "117,540 candidates left")
    first, second, third, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith("  tokenizer.train reading the text: 4,000 of 8,000 bytes · ")
    assert second.startswith("  tokenizer.train: finding candidates for ")
    assert third.endswith(" · 117,540 candidates left")
    assert "%" not in first + second + third


def test_bpe_with_bytes_and_digits(trained: Path, run_stage: Any, tmp_path: Path) -> None:
    """Every setting reaches the trainer: bytes are pieces, digits stand alone, nothing is longer than asked."""
    text = tmp_path / "sample" / "text" / "en"
    text.mkdir(parents=True)
    lines = [f"in {number} people were born free and equal in {number + 1000}" for number in range(400)]
    (text / "all-00000.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"model_type": "bpe", "vocab_size": 330, "byte_fallback": True, "split_digits": True}
    run_stage(
        "tokenizer.train",
        {"train": {**settings, "max_sentencepiece_length": 4}},
        {"tokenizer.sample": tmp_path / "sample"},
        tmp_path / "out",
    )
    tokenizer = load_tokenizer(tmp_path / "out")
    words = [piece for piece in tokenizer.vocabulary[4:-1] if not piece.startswith("<0x")]
    assert len(tokenizer.vocabulary) - len(words) - 5 == 256
    assert max(map(len, words)) == 4
    assert not any(len(piece.strip("▁")) > 1 for piece in words if any(sign.isdigit() for sign in piece))
    assert tokenizer.decode(tokenizer.encode("free 🦄")) == "free 🦄"
    assert (tmp_path / "out" / "tokenizer.json").is_file()


def test_more_text_than_32_bits_count_and_the_same_model_by_either(
    run_stage: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    settings = TokenizerSettings().train
    large = [trainer_options(settings, size)["train_extremely_large_corpus"] for size in (2**31 - 1, 2**31)]
    assert large == [False, True]
    lines = [f"this is line {number} of some" for number in range(30)]
    inputs = {"tokenizer.sample": text_folder(tmp_path / "sample", *lines)}
    run_stage("tokenizer.train", {"train": {"vocab_size": 27}}, inputs, tmp_path / "small")
    monkeypatch.setattr("tokenizer.train.LARGE", 0)
    run_stage("tokenizer.train", {"train": {"vocab_size": 27}}, inputs, tmp_path / "large")
    tables = [(tmp_path / name / "vocabulary.tsv").read_bytes() for name in ("small", "large")]
    assert tables[0] == tables[1]


def test_a_killed_trainer_is_reported(tmp_path: Path) -> None:
    error = TrainerLog(100, 1).explain(-9, tmp_path / "trainer.log")
    assert "was killed, probably for lack of memory" in str(error)
    assert "tokenizer.sample.bytes" in str(error)


def test_the_paper_configuration_is_the_default() -> None:
    settings = TokenizerSettings()
    assert (settings.sample.alpha, settings.train.vocab_size, settings.encode.sequence_length) == (
        0.3,
        250_000,
        512,
    )
    assert (settings.train.character_coverage, settings.train.normalization_rule_name) == (0.9995, "nmt_nfkc")


def test_package_is_light() -> None:
    import subprocess
    import sys

    heavy = "('numpy', 'pyarrow', 'sentencepiece')"
    code = f"import sys, tokenizer.stages; print([m for m in {heavy} if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
