"""The study: no vocabulary is trained on held-out text, a size that the text is too small for is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tokenizer.corpus_files import corpus_files, read_batches
from tokenizer.pieces import Tokenizer
from tokenizer.report import sections
from tokenizer.settings import TokenizerSettings
from tokenizer.stages import StudyStage
from tokenizer.study import Variant, _is_test, measure, training_lines

STUDY = {"alphas": [0.0, 1.0], "sizes": [400, 470, 90_000], "bytes": 12_000, "test_share": 0.2}


@pytest.fixture(scope="module")
def studied(corpus: Path, run_stage: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("study")
    _, context = run_stage("tokenizer.study", {"study": STUDY}, {"corpus.regroup": corpus}, folder)
    return folder, context


def test_without_alphas_there_is_no_study(corpus: Path, run_stage: Any, tmp_path: Path) -> None:
    counts, context = run_stage("tokenizer.study", {}, {"corpus.regroup": corpus}, tmp_path)
    assert counts == {"variants": 0}
    assert context.warnings == []
    assert sections({"tokenizer.study": tmp_path}) == []


def test_what_it_measures(studied: tuple[Path, Any]) -> None:
    folder, context = studied
    rows = json.loads((folder / "study.json").read_text(encoding="utf-8"))["variants"]
    assert [(row["alpha"], row["size"]) for row in rows] == [(0.0, 400), (0.0, 470), (1.0, 400), (1.0, 470)]
    refused = [line for line in context.warnings if "90,000" in line]
    assert len(refused) == 2
    assert all("give at most" in line for line in refused)
    tokens = [sum(of["tokens"] for of in row["languages"].values()) for row in rows]
    assert tokens[0] > tokens[1]  # a larger vocabulary needs fewer
    assert tokens[2] > tokens[3]
    characters = {json.dumps({code: of["characters"] for code, of in row["languages"].items()}) for row in rows}
    assert len(characters) == 1  # all on the same text
    assert not list(folder.rglob("*.model"))


def test_no_test_document_is_trained_on(corpus: Path) -> None:
    settings = TokenizerSettings.model_validate({"study": STUDY})
    config = StudyStage(sample=settings.sample, train=settings.train, study=settings.study)
    files = tuple(corpus_files(corpus, settings.sample.buckets))
    everything = dict.fromkeys((file.language for file in files), 1.0)
    trained = set(training_lines(config, Variant("unigram", 1.0, 500, files, everything)))
    held_out, others = set[bytes](), set[bytes]()
    for file in files:
        for batch in read_batches(file.path, ("digest", "url", "raw_content")):
            for text, test in zip(
                batch.column("raw_content").to_pylist(), _is_test(batch, settings.study), strict=True
            ):
                (held_out if test else others).update(line.encode() for line in text.split("\n"))
    assert len(held_out) > 20
    assert trained == others
    assert held_out - others  # lines that only the test has


def test_measure_against_the_plain_way(corpus: Path, tokenizer: Tokenizer) -> None:
    settings = TokenizerSettings.model_validate({"study": {**STUDY, "test_share": 1 - 1e-12}}).study
    files = tuple(file for file in corpus_files(corpus, ("all",)) if file.language in {"th", "ko"})
    found = measure(settings, tokenizer, files)
    for language, of in found.items():
        batches = [b for f in files if f.language == language for b in read_batches(f.path, ("raw_content",))]
        texts = [text for batch in batches for text in batch.column("raw_content").to_pylist()]
        assert of["characters"] == sum(map(len, texts))
        assert of["tokens"] == sum(len(tokenizer.encode(text)) for text in texts)
    assert set(found) == {"th", "ko"}


def test_report_of_a_study(studied: tuple[Path, Any]) -> None:
    (section,) = sections({"tokenizer.study": studied[0]})
    assert section.title == "What α and vocabulary size change"
    assert "4 vocabularies" in section.lead
    page = str(section.body)
    assert page.count("<svg") >= 2
    assert "Latin, % of the vocabulary" in page
