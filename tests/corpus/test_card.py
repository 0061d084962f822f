"""The dataset card: a head that Hugging Face reads, what the manifests say and nothing else, and code that runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import made_corpus
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from corpus.crawl.settings import Fetch, Read
from corpus.duplicates.settings import Duplicates, NearDuplicates
from corpus.filters.settings import Filters
from corpus.language.settings import DocumentPrior, LanguageId
from corpus.mine.settings import Mine
from corpus.output import card_texts
from corpus.output.card import (
    SIZES,
    bcp47,
    card,
    draw_card,
    is_common_crawl,
    size_category,
    write_card,
)
from corpus.output.corpus_folder import corpus_files
from corpus.output.records import CORPUS
from corpus.output.settings import Regroup
from corpus.stages import PACKAGE
from pipeline.config import fingerprint
from pipeline.errors import UsageError
from pipeline.history import Made
from pipeline.manifest import read_manifest
from pipeline.markdown import markdown_table
from pipeline.storage import read_json, write_json

REGROUP = "corpus.regroup"
ROOT = Path(__file__).parents[2]

# BCP-47 (RFC 5646): language, script, region, variants; no extensions.
TAG = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?(-[a-z0-9]{5,8})*")

WITH_PRIOR = LanguageId(labels="cc100", document_prior=DocumentPrior(enabled=True))


CC100 = """
am ar as az be bg bn bn_rom br bs ca cs cy da de el en eo es et eu fa ff fi fr fy ga gd gl gn gu ha he hi hi_rom hr
ht hu hy id ig is it ja jv ka kk km kn ko ku ky la lg li ln lo lt lv mg mk ml mn mr ms my my_zaw ne nl no ns om or pa
pl ps pt qu rm ro ru sa sc sd si sk sl so sq sr ss su sv sw ta ta_rom te te_rom th tl tn tr ug uk ur ur_rom uz vi wo
xh yi yo zh-Hans zh-Hant zu af
"""


def text_of(corpus: Path, out: Path) -> str:
    card(corpus, out=out)
    return out.read_text(encoding="utf-8")


def head_of(text: str) -> dict:
    _, head, _ = text.split("---\n", 2)
    return yaml.safe_load(head)


@pytest.fixture
def run(tmp_path: Path) -> dict[str, Path]:
    return made_corpus.make_run(tmp_path / "run")


@pytest.fixture
def text(run: dict[str, Path], tmp_path: Path) -> str:
    return text_of(run[REGROUP], tmp_path / "card.md")


def test_head_has_the_fields_of_hugging_face(text):
    head = head_of(text)
    assert head["language"] == ["bn", "en", "my", "no"], "codes of two or three letters, each once; no is no boolean"
    assert head["language_bcp47"] == ["bn", "bn-Latn", "en", "my-Qaag", "no"]
    assert head["size_categories"] == "n<1K"
    assert head["multilinguality"] == "multilingual"
    assert head["license"] == "unknown"
    hub = pytest.importorskip("huggingface_hub")
    data = hub.DatasetCard(text).data
    assert data.language == head["language"]
    assert data.configs == head["configs"]


def test_each_language_has_a_config_with_its_own_files(run, text):
    configs = {one["config_name"]: one["data_files"] for one in head_of(text)["configs"]}
    assert sorted(configs) == sorted(made_corpus.TEXTS)
    for language, files in configs.items():
        assert [one["split"] for one in files] == ["train"]
        patterns = [pattern for one in files for pattern in one["path"]]
        found = [path for pattern in patterns for path in run[REGROUP].glob(pattern)]
        assert sorted(found) == sorted((run[REGROUP] / language).glob("*.arrow"))


@pytest.mark.slow
def test_the_code_on_the_card_runs(run, text, tmp_path):
    """Every block of Python, with no network; and one language is what is in the files."""
    for package in ("datasets", "duckdb", "polars"):
        pytest.importorskip(package)
    (run[REGROUP] / "README.md").write_text(text, encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    checks = (
        "of_datasets = rows",
        "assert head.num_rows == 2, head",
        "",
        "of_polars = rows",
    )
    code = "\n".join(f"{block}\n{check}" for block, check in zip(blocks, checks, strict=True))
    code += (
        "\nassert sorted(of_datasets['raw_content']) == sorted(of_polars['raw_content'].to_list())"
        "\nprint(of_datasets.num_rows, set(of_datasets['language']), sorted(set(of_datasets['bucket'])))"
    )
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path / "cache"),
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        [sys.executable, "-c", code.replace("FOLDER", str(run[REGROUP]))],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "3 {'bn'} ['head', 'tail']"
    assert "head" in done.stdout.split("3 {")[0], "DuckDB's table"


def test_card_depends_on_what_was_made_not_on_when(run, text, tmp_path):
    other = made_corpus.make_run(tmp_path / "elsewhere" / "again", build="b")
    assert read_manifest(other[REGROUP]).started == read_manifest(run[REGROUP]).started
    assert read_manifest(other[REGROUP]).seconds != read_manifest(run[REGROUP]).seconds
    assert text_of(other[REGROUP], tmp_path / "other.md") == text


def test_regrouping_writes_the_same_card_as_the_tool(run, text):
    """The stage knows its settings and counts before its manifest is there."""
    output = run[REGROUP]
    stage = next(stage for stage in PACKAGE.stages if stage.name == REGROUP)
    manifest = read_manifest(output)
    (output / "manifest.json").unlink()
    inputs = {name: run[name] for name in stage.inputs if name in run}
    write_card(output, inputs, {"regroup": fingerprint(Regroup())}, manifest.counts, corpus_files(output))
    assert (output / "README.md").read_text(encoding="utf-8") == text


def test_every_stage_its_settings_and_counts_are_listed(text):
    for stage in ("corpus.fetch", "corpus.hash", "corpus.duplicates", "corpus.mine", "corpus.cutoffs", REGROUP):
        assert re.search(rf"^\d\. \*\*{re.escape(stage)}\*\*: ", text, re.MULTILINE), stage
    assert "records 25, too short 4" in text
    assert "| `read.min_characters` | 300 | documents with fewer characters are skipped |" in text
    assert text.count("`read.min_characters`") == 1, "a section that two stages share stands once"
    assert "| `language_id.threshold` | 0.5 |" in text
    assert f"| − {made_corpus.REASON} | 4 | 4 | 30 |" in text
    assert "| **kept** | 10 | 20 | 170 |" in text
    assert "commit 0123abc, pyarrow 25.0.1." in text


def test_languages_are_listed_largest_first(text):
    table = re.search(r"## Languages\n.*?\n\n(\|.*?)\n\n", text, re.DOTALL)
    rows = [row.strip("| ").split(" | ") for row in table[1].splitlines()]
    assert rows[0] == ["code", "BCP-47", "documents", "lines", "characters", "text", "documents in head",
                       "documents in middle", "documents in tail", "documents in all"]  # fmt: skip
    sizes = {
        language: sum(len(text.encode()) for texts in buckets.values() for text in texts)
        for language, buckets in made_corpus.TEXTS.items()
    }
    assert [row[0] for row in rows[2:]] == sorted(sizes, key=lambda language: (-sizes[language], language))
    assert ["en", "en", "3", "4", "23", "23 B", "1", "1", "1", "0"] in rows


def test_local_paths_are_left_out(tmp_path):
    secret = Fetch(crawl="/home/somebody/crawl/*.gz")
    outputs = made_corpus.make_run(tmp_path / "run", config={"fetch": secret})
    text = text_of(outputs[REGROUP], tmp_path / "card.md")
    assert "somebody" not in text
    assert "| `fetch.crawl` | …/*.gz |" in text
    assert str(tmp_path) not in text


def test_rules_that_are_off_are_left_out(run):
    filters = fingerprint(Filters(rules=("length",), mask=("email", "phone")))
    text = draw_card(run[REGROUP], {
        "corpus.mine": Made({"filters": filters}, made_corpus.mined_counts() | {"masked": {"email": 1234}}),
        REGROUP: Made({}, {}),
    })  # fmt: skip
    assert "| `filters.rules` | length |" in text
    assert "`filters.length.min_words`" in text
    assert "`filters.gopher_quality" not in text
    assert "masked by patterns (email, phone)" in text
    assert "Masked in the text: email 1,234." in text
    assert "by rules besides: length." in text
    assert "Personal data was not masked" not in text


@pytest.mark.parametrize(
    ("config", "words", "not_words"),
    [
        ({}, "the first too", "only the first copy"),
        ({"duplicates": Duplicates(keep="keep_first")}, "only the first copy", "the first too"),
        ({}, "nearly the same were not looked for", "**corpus.near_duplicates**"),
        ({"mine": Mine(unit="paragraph")}, "decided by paragraph", "A document has one language"),
        (
            {"mine": Mine(unit="paragraph"), "language_id": WITH_PRIOR},
            "took the language of their document; text in languages under 0.0001 of the crawl",
            "A document has one language",
        ),
        (
            {"mine": Mine(unit="document"), "language_id": WITH_PRIOR},
            "A document has one language",
            "took the language",
        ),
        ({"mine": Mine(unit="document")}, "A document has one language", "decided by paragraph"),
        ({"language_id": LanguageId(threshold=0.7, thresholds={"hr": 0.9})}, "less sure of than 0.7, hr 0.9 is", "0.5"),
        ({"read": Read(min_characters=77)}, "| `read.min_characters` | 77 |", "| `read.min_characters` | 300 |"),
        ({"fetch": Fetch(dumps=("CC-MAIN-2019-09",))}, "out of CommonCrawl (CC-MAIN-2019-09)", "license: unknown"),
    ],
)
def test_limits_and_licence_follow_the_settings(tmp_path, config, words, not_words):
    outputs = made_corpus.make_run(tmp_path / "run", config=config)
    text = text_of(outputs[REGROUP], tmp_path / "card.md")
    assert words in text
    assert not_words not in text
    assert "No model, so no perplexity and the bucket `all`: bn_rom, my_zaw." in text


@pytest.mark.parametrize("enabled", [True, False])
def test_a_stage_that_is_off_is_left_out(run, enabled):
    near = Made({"near_duplicates": fingerprint(NearDuplicates(enabled=enabled))}, {"dropped": 5} if enabled else {})
    text = draw_card(run[REGROUP], {"corpus.near_duplicates": near, REGROUP: Made({}, {})})
    assert ("1. **corpus.near_duplicates**" in text) is enabled
    assert ("Counted: dropped 5." in text) is enabled
    assert ("were not looked for" in text) is not enabled


def test_licence_of_commoncrawl(tmp_path):
    outputs = made_corpus.make_run(tmp_path / "run", config={"fetch": Fetch(crawl="s3://commoncrawl/crawl-data/x.gz")})
    head = head_of(text_of(outputs[REGROUP], tmp_path / "card.md"))
    assert head["license"] == "other"
    assert head["license_link"] == "https://commoncrawl.org/terms-of-use"
    assert re.fullmatch(r"[a-z0-9.-]+", head["license_name"])
    assert not is_common_crawl({})


def test_what_is_gone_or_made_again_is_left_out(run, text, tmp_path):
    """Manifests above that are not there any more, or another build's, say nothing of this corpus."""
    shutil.rmtree(run["corpus.fetch"])
    manifest = read_json(run["corpus.cutoffs"] / "manifest.json")
    write_json(run["corpus.cutoffs"] / "manifest.json", manifest | {"build": "f" * 32, "counts": {"languages": 777}})
    found = text_of(run[REGROUP], tmp_path / "less.md")
    assert "corpus.fetch" in text
    assert "corpus.fetch" not in found
    assert "corpus.cutoffs" not in found
    assert "777" not in found
    assert "**corpus.mine**" in found
    assert head_of(found) == head_of(text)


def test_alone_a_corpus_has_a_short_card(run, tmp_path):
    shutil.copytree(run[REGROUP], tmp_path / "alone")
    found = text_of(tmp_path / "alone", tmp_path / "card.md")
    assert re.findall(r"^\d\. \*\*(.*?)\*\*", found, re.MULTILINE) == [REGROUP]
    assert head_of(found)["configs"]


def test_without_a_manifest_there_is_no_card(run, tmp_path):
    (run[REGROUP] / "manifest.json").unlink()
    with pytest.raises(UsageError, match="has no manifest"):
        card(run[REGROUP], out=tmp_path / "card.md")
    assert not (tmp_path / "card.md").exists()


def test_a_runs_folder_names_its_corpus_and_the_card_is_printed(run, text, capsys):
    card(run[REGROUP].parent.parent)
    assert capsys.readouterr().out == text


def test_a_corpus_without_documents(tmp_path):
    made_corpus.write_corpus(tmp_path, {})
    write_json(tmp_path / "counts.json", {"documents": {}, "characters": {}, "bytes": {}})
    head = head_of(draw_card(tmp_path, {}))
    assert head["configs"] == []
    assert head["size_categories"] == "n<1K"


def test_every_field_is_described():
    assert list(card_texts.FIELDS) == CORPUS.names


def test_codes_of_cc100_become_tags():
    codes = CC100.split()
    tags = [bcp47(code) for code in codes]
    assert len(codes) == 116
    assert all(TAG.fullmatch(tag) for tag in tags)
    assert len(set(tags)) == 116
    assert (bcp47("ur_rom"), bcp47("zh-Hant"), bcp47("als"), bcp47("als_Latn")) == (
        "ur-Latn", "zh-Hant", "gsw", "als-Latn",
    )  # fmt: skip
    assert bcp47("ns") == "nso", "ns is no code of ISO 639; the release means Northern Sotho"


@given(st.integers(0, 10**14) | st.sampled_from([10**power + step for power in range(3, 14) for step in (-1, 0)]))
def test_sizes_are_hugging_faces(documents):
    words = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
    found = size_category(documents)
    numbers = [int(n) * words.get(unit, 1) for n, unit in re.findall(r"(\d+)([KMBT]?)", found)]
    low = numbers[0] if found != SIZES[0] else 0
    high = numbers[-1] if found != SIZES[-1] else 10**15
    assert low <= documents < high


def test_cells_stay_one_line_of_text():
    made = markdown_table(("a", "n"), [("x|y\n<b>", 1000), ("z", None)])
    assert made.splitlines() == ["| a | n |", "| --- | --: |", r"| x\|y &lt;b> | 1,000 |", "| z |  |"]
