"""Profile cc100: the fast path by paragraph against the plain twin, on the small crawl."""

from __future__ import annotations

import fasttext
import kenlm
import plain_cc100
import plain_ccnet
import pyarrow as pa
import pytest
import sentencepiece

from corpus.language.model_file import model_path

WORDS = ("--corpus.mine.unit", "paragraph", "--corpus.read.title", "paragraph")


def read_all(folder) -> list[dict]:
    return [
        record
        for path in sorted(folder.rglob("*.arrow"))
        if path.parent.name != "dropped"
        for record in pa.ipc.open_file(str(path)).read_all().to_pylist()
    ]


@pytest.fixture(scope="module")
def by_paragraph(done):
    done.run(*WORDS)
    return done


def test_every_field_of_every_record_equals_the_plain_twin(small, by_paragraph):
    files = sorted((small / "crawl").iterdir())
    documents = [plain_cc100.title_as_paragraph(d) for path in files for d in plain_ccnet.parse(path, 300)]
    duplicates = plain_ccnet.find_duplicates(documents)
    deduplicated = [d for document in documents if (d := plain_ccnet.drop_duplicates(document, duplicates))]
    identifier = fasttext.load_model(str(model_path("lid.176.ftz")))
    models = by_paragraph.output("corpus.language_models", *WORDS)
    loaded = {
        language: (
            sentencepiece.SentencePieceProcessor(model_file=str(models / f"{language}.sp.model")),
            kenlm.Model(str(models / f"{language}.arpa.bin")),
        )
        for language in ("de", "en")
    }
    expected = {}
    for document in deduplicated:
        for record in plain_cc100.split_by_language(document, identifier, 0.5):
            language = record["language"]
            if language in loaded:
                record = plain_cc100.score_record(record, *loaded[language])  # noqa: PLW2901
            expected[record["url"], record["cc_segment"], language] = record
    records = read_all(by_paragraph.output("corpus.mine", *WORDS))
    found = {(record["url"], record["cc_segment"], record["language"]): record for record in records}
    assert found.keys() == expected.keys()
    several = {url for url, _, _ in found if sum(other == url for other, _, _ in found) > 1}
    assert several, "no document in two languages: the test shows nothing"
    for key, record in expected.items():
        for name, value in record.items():
            same = value
            if name in {"language_score", "line_scores"}:
                same = pytest.approx(value, abs=0.0051)
            elif name in {"perplexity", "line_perplexities"}:
                same = pytest.approx(value, rel=1e-5, abs=0.051)
            assert found[key][name] == same, (key, name)
