"""Settings that do not fit each other are refused at once, and what can only be seen at the end is reported."""

from __future__ import annotations

import pytest

from corpus.checks import known_codes
from corpus.language.characters.splitters import SPLITTERS
from corpus.language.identifier import LanguageIdentifier, load_identifier
from corpus.language.settings import LanguageId
from pipeline.errors import UsageError

CC100 = ("--corpus.language_id.labels", "cc100")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--corpus.mine.dumps.en", "[D]"), r"mine\.dumps names dumps, but fetch\.dumps none: .*write mine\.dumps: {}"),
        (
            ("--corpus.mine.dumps", "{en: [D], '*': [E, F]}", "--corpus.fetch.dumps", "[D, F]"),
            r"corpus: mine\.dumps names E, not in fetch\.dumps; name the same there, or write mine\.dumps: {}",
        ),
        (
            (*CC100, "--corpus.language-id.thresholds.zh_Hans", "0.7"),
            "has no language 'zh_Hans'.* did you mean zh-Hans?",
        ),
        (
            (*CC100, "--corpus.mine.languages", "[zh]"),
            r"mine\.languages: the identifier has no language 'zh'.*did you mean zh-Hans?",
        ),
        (
            ("--corpus.mine.languages", "[ha]"),
            r"has no language 'ha'; language_id: {labels: cc100, own_model: built-in} has it",
        ),
        (("--corpus.mine.dumps.DE", "[D]", "--corpus.fetch.dumps", "D"), r"mine\.dumps: .* 'DE'.* did you mean de?"),
        (("--corpus.filters.languages", "{deu: {}}"), r"filters\.languages: the identifier has no language 'deu'"),
        (("--corpus.mine.languages", "[swe]"), r"has no language 'swe'; did you mean sv\?"),
        (
            ("--corpus.mine.languages", "[finnish]"),
            r"has no language 'finnish'; give the code that xlmr corpus identify",
        ),
        (
            ("--corpus.language_id.model", "glot.bin", "--corpus.mine.languages", "[../x]"),
            r"mine\.languages: '../x' cannot be a language's code",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(fresh, words, line):
    with pytest.raises(UsageError, match=line) as caught:
        fresh.config(*words)
    assert len(str(caught.value)) < 400


def test_what_fits(fresh):
    words = ("--corpus.fetch.dumps", "[D, E]", "--corpus.mine.dumps", "{no: [D], '*': [D, E]}")
    thresholds = ("--corpus.language-id.thresholds.zh-Hans", "0.7", "--corpus.language-id.thresholds.no=0.4")
    config = fresh.config(*words, *CC100, *thresholds).corpus
    assert config.mine.dumps.keys() == {"no", "*"}
    assert config.language_id.thresholds == {"zh-Hans": 0.7, "no": 0.4}
    assert fresh.config("--corpus.language_id.model", "glot.bin", "--corpus.mine.languages", "[deu_Latn]")


@pytest.mark.parametrize(
    "settings", [LanguageId(), LanguageId(labels="cc100"), LanguageId(labels="cc100", own_model="built-in")], ids=str
)
def test_the_codes_that_are_known_are_those_that_can_be_predicted(settings):
    identifier = load_identifier(settings)
    if isinstance(identifier, LanguageIdentifier):
        predicted = set(identifier._model.labels)
    else:
        predicted = {name for code in identifier.codes for name in SPLITTERS.get(code, (None, code))[1:]}
    assert known_codes(settings) == predicted


def test_an_empty_corpus_is_an_error(done):
    words = ("--corpus.mine.languages", "[bpy]")
    plan = done.run(*words, until="corpus.mine")
    (line, *_) = plan["corpus.mine"].manifest.warnings
    assert line.startswith("THE CORPUS IS EMPTY: ")
    assert "not one of the languages asked for (" in line
    assert not any("EMPTY" in line for line in done.run(until="corpus.mine")["corpus.mine"].manifest.warnings)
