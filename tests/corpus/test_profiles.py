"""The two profiles are complete runs: they load, and are what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus.language.identifier import load_identifier
from corpus.language.model_file import model_path
from corpus.perplexity.settings import LanguageModels
from corpus.settings import CorpusConfig
from pipeline.dag import Dag

CONFIGS = Path(__file__).parents[2] / "configs"


def profile(name: str) -> CorpusConfig:
    return Dag.default().load_config(CONFIGS / f"corpus-{name}.yaml").corpus


def test_ccnet_is_the_defaults_but_for_where_things_are():
    found, defaults = profile("ccnet"), CorpusConfig()
    assert found.read == defaults.read
    assert found.mine == defaults.mine
    assert found.filters == defaults.filters
    assert found.near_duplicates == defaults.near_duplicates
    assert found.perplexity == defaults.perplexity
    assert (found.duplicates.window, found.duplicates.keep) == (50, "drop_all")
    assert (found.language_id.model, found.language_id.labels) == ("lid.176.bin", "as_they_are")
    assert not found.language_id.document_prior.enabled
    changed = {"text"}
    assert found.language_models.model_dump(exclude=changed) == defaults.language_models.model_dump(exclude=changed)


def test_cc100_decides_by_paragraph_and_knows_all_codes():
    found = profile("cc100")
    assert (found.mine.unit, found.read.title) == ("paragraph", "paragraph")
    assert found.language_id.document_prior.enabled
    assert len(set(found.mine.languages)) == 116
    # zh is predicted, and split into its two scripts afterwards; so is Burmese in Zawgyi.
    predicted = set(load_identifier(found.language_id).codes) | {"zh-Hans", "zh-Hant", "my_zaw"}
    assert set(found.mine.languages) <= predicted
    assert len(found.fetch.dumps) == 12
    assert found.mine.takes("de", found.fetch.dumps[0])
    assert [dump for dump in found.fetch.dumps if found.mine.takes("en", dump)] == ["CC-MAIN-2018-51"]


@pytest.mark.parametrize(("name", "profile_name"), [("own-crawl", "ccnet"), ("own-crawl-cc100", "cc100")])
def test_ones_own_files_need_one_setting(name, profile_name, tmp_path):
    """The rest is what comes with the project, decided as in the profile."""
    config = Dag.default().load_config(CONFIGS / f"{name}.yaml", ["--corpus.fetch.crawl", str(tmp_path)])
    found, theirs = config.corpus, profile(profile_name)
    assert (found.fetch.crawl, found.fetch.dumps, found.fetch.shards) == (str(tmp_path), (), None)
    assert (found.mine.unit, found.read.title) == (theirs.mine.unit, theirs.read.title)
    assert (found.language_id.labels, found.language_id.own_model, found.language_id.document_prior) == (
        theirs.language_id.labels,
        theirs.language_id.own_model,
        theirs.language_id.document_prior,
    )
    assert found.read.normal_form == "nfc"
    assert found.mine.dumps == {}
    assert model_path(found.language_id.model).exists()
    assert list((CONFIGS.parent / "samples/clean").glob("*.txt.xz"))
    assert found.language_models.text == LanguageModels().text == "samples/clean/*.txt.xz"
    assert config.run.until == "corpus"


def test_only_the_profile_of_cc_net_leaves_characters_as_they_are():
    assert profile("ccnet").read.normal_form == "as_is"
    assert profile("cc100").read.normal_form == "nfc"
