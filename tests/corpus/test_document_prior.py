"""What the document says about its paragraphs: the rule against a plain twin, its parts, and pages that are mined."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.language.boilerplate import MENUS, boilerplate_pages, clean_paragraphs
from corpus.language.characters.letters import NAME, SYLLABLE, own_letters
from corpus.language.identifier import load_identifier
from corpus.language.prior.base_rates import load_base_rates
from corpus.language.prior.declared import declared_code
from corpus.language.prior.document_prior import LEAST, ROUNDS, DocumentLanguages, posteriors
from corpus.language.settings import DocumentPrior, LanguageId
from corpus.settings import CorpusConfig, MineStage
from pipeline.errors import XlmrError
from pipeline.keys import key_settings
from pipeline.manifest import read_manifest

BEST = LanguageId(labels="cc100", own_model="built-in")
ON = DocumentPrior(enabled=True)
BY_PARAGRAPH = (
    "--corpus.mine.unit", "paragraph", "--corpus.read.title", "paragraph", "--corpus.language_id.labels", "cc100",
    "--corpus.language_id.own_model", "built-in", "--corpus.duplicates.keep", "keep_first",
)  # fmt: skip
ZULU = [
    "Sonke isintu sizalwa sikhululekile futhi sinesithunzi esilinganayo kanye namalungelo afanayo.",
    "Bonke abantu banomqondo nonembeza futhi kufanele baphathane ngomoya wobunye.",
    "Wonke umuntu unelungelo lokuphila, lokukhululeka nokuvikeleka yena uqobo lwakhe.",
]


def plain_posteriors(
    likely: Sequence[Sequence[float]], letters: Sequence[float], owner: Sequence[int],
    fixed: Sequence[Sequence[float]], most: float, half: float,
) -> list[list[float]]:  # fmt: skip
    """The rule of the module's docstring, paragraph by paragraph."""

    def normalised(values: Sequence[float]) -> list[float]:
        return [value / sum(values) for value in values]

    evidence = [
        [max(p, LEAST) ** (n / (n + half) if n + half else 0) for p in row]
        for row, n in zip(likely, letters, strict=True)
    ]
    found = [normalised(row) for row in evidence]
    for _ in range(ROUNDS):
        new = []
        for i, own in enumerate(evidence):
            others = [j for j in range(len(evidence)) if owner[j] == owner[i] and j != i]
            rest = [sum(letters[j] * found[j][code] for j in others) for code in range(len(own))]
            share = min(1, most / max(sum(letters[j] for j in others), LEAST))
            prior = [share * one + other for one, other in zip(rest, fixed[owner[i]], strict=True)]
            new.append(normalised([one * other for one, other in zip(prior, own, strict=True)]))
        found = new
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 30.0, 1000.0]), st.sampled_from([0.0, 20.0]))
def test_the_rule_is_the_plain_one(seed, most, half):
    generator = np.random.default_rng(seed)
    owner = np.sort(np.unique(generator.integers(0, 3, 8), return_inverse=True)[1])
    likely = generator.dirichlet(np.full(4, 0.2), 8).astype(np.float32) * generator.integers(0, 2, (8, 4))
    letters = (generator.integers(0, 4, 8) * generator.integers(0, 40, 8)).astype(np.float32)
    fixed = generator.uniform(0.01, 50, (int(owner[-1]) + 1, 4)).astype(np.float32)
    found = posteriors(likely.astype(np.float32), letters, owner, fixed, most, half)
    plain = plain_posteriors(likely.tolist(), letters.tolist(), owner.tolist(), fixed.tolist(), most, half)
    assert np.allclose(found, plain, atol=2e-4)


def test_how_much_a_paragraph_must_overcome():
    """Beside 1,000 characters in another language, a short paragraph follows its document, a long one does not."""
    likely = np.array([[0.999, 0.001], [0.001, 0.999], [0.5, 0.5]] * 2, np.float32)
    letters = np.array([1000, 8, 0, 1000, 400, 0], np.float32)
    owner = np.array([0, 0, 0, 1, 1, 1])
    found = posteriors(likely, letters, owner, np.ones((2, 2), np.float32), 1000, 20)
    assert found.argmax(1).tolist() == [0, 0, 0, 0, 1, 0]
    # A paragraph without letters has the shares of the others, whatever the identifier made of it.
    assert found[2, 0] > 0.98
    assert 0.6 < found[5, 0] < 0.75


# Letters


@pytest.mark.parametrize(
    ("text", "letters"),
    [("in the window", 11), ("Windows 8.1", 7 * NAME), ("8.1 – 2013", 0), ("", 0), ("BOARD OF TRUSTEES", 15 * NAME),
     ("Board of Trustees", 13 * NAME + 2), ("my_file2 is", 6 * NAME + 2), ("東京タワー", 4 * SYLLABLE),
     ("в окне", 5), ("Скачать бесплатно", 7 * NAME + 9), ("ένα", 3), ("https://example.org/a", 16 * NAME),
     ("१२ बजे", 3), ("(the)", 3), ("«Élan»", 4 * NAME)],
)  # fmt: skip
def test_letters_that_show_a_language(text, letters):
    found = own_letters([text, "x", text]).amount.tolist()
    assert found == [letters, 1, letters]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("abZÉ жЖ漢か한 8_.«\t", max_size=25), max_size=5))
def test_letters_are_counted_by_word(texts):
    def plain(text: str) -> float:
        total = 0.0
        for word in text.replace("\t", " ").split(" "):
            beginning = word[:1] if word[:1].isalpha() else word[1:2]
            code = any(c in "8_" for c in word) and any(c in "abZÉ" for c in word)
            letters = sum(SYLLABLE if c in "漢か한" else 1 for c in word if c.isalpha())
            total += letters * (NAME if beginning.isupper() or code else 1)
        return total

    assert own_letters(texts).amount.tolist() == pytest.approx([plain(text) for text in texts])


def test_which_texts_are_latin():
    assert own_letters(["Windows 8.1", "в окне", "", "本店 Visa", "окно w"]).is_latin.tolist() == [
        True, False, True, True, False,
    ]  # fmt: skip
    assert own_letters([]).amount.tolist() == []


# What pages declare, and base rates


@pytest.mark.parametrize(
    ("tag", "code"),
    [("de-AT", "de"), ("DE", "de"), ("zh_TW", "zh-Hant"), ("zh-Hans-HK", "zh-Hans"), ("zh", "zh-Hans"), ("nb-NO", "no"),
     ("iw", "he"), ("hi-Latn", "hi_rom"), ("sr-Latn-RS", "sr"), ("deu", "de"), ("", ""), ("x-default", ""),
     ("english", ""), ("12", "")],
)  # fmt: skip
def test_declared_languages(tag, code):
    assert declared_code(tag) == code


def test_base_rates_of_cc100():
    rates = load_base_rates("cc100")
    assert len(rates) == 116
    assert sum(rates.values()) == pytest.approx(1)
    assert max(rates, key=lambda code: rates[code]) == "en"
    assert {"xh", "zu", "ff", "br"} <= {code for code, rate in rates.items() if rate < 1e-4}
    assert rates["cy"] > 1e-4


@pytest.mark.parametrize(
    ("content", "problem"),
    [("de\t1\nde\t2\n", "line 2"), ("de 1\n", "line 1"), ("# mine\nde\t-1\n", "line 2"), ("de\tnan\n", "line 1"),
     ("", "names no language"), ("../x\t1\n", "cannot be a language's name")],
)  # fmt: skip
def test_tables_of_base_rates_that_are_refused(tmp_path, content, problem):
    (tmp_path / "rates.tsv").write_text(content)
    with pytest.raises(XlmrError, match=problem):
        load_base_rates(str(tmp_path / "rates.tsv"))


def test_base_rates_of_ones_own(tmp_path):
    path = tmp_path / "rates.tsv"
    path.write_text("# GB\nde\t3\nzu\t1\n")
    assert load_base_rates(str(path)) == {"de": 0.75, "zu": 0.25}
    prior = DocumentPrior(enabled=True, base_rates=str(path))
    assert LanguageId(labels="cc100", document_prior=prior).files()[str(path)].endswith("document_prior.base_rates")
    with pytest.raises(XlmrError, match="cannot be read"):
        load_base_rates(str(tmp_path / "nowhere.tsv"))


# Rare languages need evidence


@dataclass
class FewLanguages:
    """An identifier of three languages that looks for their names; ``disagree`` are those that one model denies."""

    disagree: tuple[str, ...] = ()
    asked: list[tuple[str, str]] = field(default_factory=list)
    fine_codes: list[str] = field(default_factory=lambda: ["en", "zu", "br"])

    def fine_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Nearly 1 for the language that a text names."""
        found = [[1 if f"{code} " in f"{text} " else 1e-11 for code in self.fine_codes] for text in texts]
        return np.array(found, np.float32) / np.sum(found, axis=1, keepdims=True).astype(np.float32)

    def agreed(self, texts: Sequence[str], codes: Sequence[str]) -> np.ndarray:
        """What is asked is kept."""
        self.asked += zip(texts, codes, strict=True)
        return np.array([code not in self.disagree for code in codes])


def codes_of(identifier: FewLanguages, documents: list[list[str]]) -> list[list[str]]:
    return [
        [code if score >= 0.5 else "" for code, score in found]
        for found in DocumentLanguages(identifier, ON).identify(documents, [""] * len(documents))  # type: ignore[arg-type]
    ]


def test_a_rare_language_needs_so_much_text_in_its_document():
    short, long = "zu " + "a" * 45, "zu " + "b" * 120
    identifier = FewLanguages()
    assert codes_of(identifier, [[short], [short, short], [long], ["en " + "c" * 200]]) == [
        [""],
        ["", ""],
        ["zu"],
        ["en"],
    ]
    # A document's text in the language is asked about at once.
    assert [len(text) for text, _ in identifier.asked] == [len(long)]
    identifier = FewLanguages()
    assert codes_of(identifier, [[short, short, short]]) == [["zu", "zu", "zu"]]
    assert identifier.asked == [(" ".join([short] * 3), "zu")]


def test_both_models_must_agree_on_a_rare_language():
    long = "zu " + "b" * 300
    assert codes_of(FewLanguages(disagree=("zu",)), [[long], ["br " + "b" * 300, long]]) == [[""], ["br", ""]]
    off = DocumentPrior(enabled=True, rare_rate=0)
    found = DocumentLanguages(FewLanguages(disagree=("zu",)), off).identify([[long]], [""])  # type: ignore[arg-type]
    assert found[0][0][0] == "zu"


# With the built-in identifier


@pytest.fixture(scope="module")
def languages() -> DocumentLanguages:
    return DocumentLanguages(load_identifier(BEST), ON)


def test_boilerplate_takes_the_languages_of_its_pages(languages):
    pages = boilerplate_pages(12)
    documents = [page for of_language in pages.values() for page in of_language]
    truth = [code for code, of_language in pages.items() for page in of_language for _ in page]
    lines = [line for page in documents for line in page]
    found = [one for page in languages.identify(documents, [""] * len(documents)) for one in page]
    alone, scores = load_identifier(BEST).identify(lines)
    by_itself = {code for code, score in zip(alone, scores.tolist(), strict=True) if score >= 0.5}
    assert len(by_itself) > 12, "the pages are too easy: the test shows nothing"
    characters: Counter[str] = Counter()
    for line, (code, score) in zip(lines, found, strict=True):
        characters[code if score >= 0.5 else "unsure"] += len(line)
    unsure = characters.pop("unsure")
    assert len(characters) <= 12
    assert sum(characters[code] for code in MENUS) >= 0.99 * characters.total()
    assert unsure < 0.02 * (characters.total() + unsure)
    right = [code == expected for (code, _), expected in zip(found, truth, strict=True)]
    assert sum(right) > 0.9 * len(right)
    assert sum(code == expected for code, expected in zip(alone, truth, strict=True)) < 0.8 * len(truth)


def test_documents_in_two_languages_stay_so(languages):
    for first, second in (("de", "fr"), ("pt", "es"), ("ru", "en"), ("ja", "en")):
        texts = [clean_paragraphs(code, 30) for code in (first, second)]
        documents = [
            [*texts[0][:6], *texts[1][:6]],
            [texts[0][7], texts[1][7], texts[0][8], texts[1][8], "2019", texts[0][9]],
            [*texts[0][10:20], texts[1][9]],
        ]
        expected = [[first] * 6 + [second] * 6, [first, second, first, second, None, first], [first] * 10 + [second]]
        for answers, codes in zip(languages.identify(documents, [""] * 3), expected, strict=True):
            assert [
                code for (code, score), meant in zip(answers, codes, strict=True) if meant and score >= 0.5
            ] == [code for code in codes if code]  # fmt: skip


def test_a_page_in_a_rare_language_stays(languages):
    page = ["Ikhaya", *ZULU, "Windows 8.1", "12.03.2019"]
    answers, few = languages.identify([page, ["Read more about us in this article.", "Sonke isintu"]], ["", ""])
    assert [code for code, _ in answers] == ["zu"] * len(page)
    assert all(score >= 0.5 for _, score in answers)
    assert few[1][0] != "zu" or few[1][1] < 0.5


def test_what_a_page_declares_decides_where_its_text_does_not(languages):
    """A line in Croatian or Bosnian; without declaration it is what the crawl has more of."""
    document = ["U ovom poglavlju"]
    (declared,), (other,) = (languages.identify([document], [tag])[0] for tag in ("bs", "hr-HR"))
    none = languages.identify([["© 2019"]], [""])[0][0]
    assert other[0] == "hr"
    assert declared != other
    assert none[1] < 0.5
    assert languages.identify([["© 2019"]], ["sl-SI"])[0][0][0] == "sl"


def test_names_in_latin_letters_are_of_their_page_but_a_script_is_a_script(languages):
    russian = clean_paragraphs("ru", 10)[:5]
    answers = languages.identify([[*russian, "Windows 8.1", "", "ქართული"]], [""])[0]
    assert answers[5][0] == "ru"
    assert answers[6] == ("", 0)
    assert answers[7][0] in ("", "ka")


def test_an_answer_does_not_depend_on_other_documents(languages):
    documents = [pages[0] for pages in boilerplate_pages(1).values()][:3]
    at_once = languages.identify(documents, [""] * len(documents))
    for document, found in zip(documents, at_once, strict=True):
        alone = languages.identify([document], [""])[0]
        assert [code for code, _ in alone] == [code for code, _ in found]
        assert np.allclose([score for _, score in alone], [score for _, score in found], atol=0.011)
    assert languages.identify([], []) == []


# Settings


def test_the_prior_needs_probabilities_and_paragraphs():
    for wrong in ({}, {"identifier": "my.identifier:identify", "labels": "cc100"}):
        with pytest.raises(ValueError, match="needs the probabilities of all codes"):
            LanguageId(document_prior=ON, **wrong)
    by_document, by_paragraph = (
        key_settings(
            MineStage(
                **{
                    name: getattr(CorpusConfig(mine={"unit": unit}, language_id=dict(BEST, document_prior=ON)), name)
                    for name in MineStage.model_fields
                }
            )
        )
        for unit in ("document", "paragraph")
    )
    assert "document_prior" not in by_document["language_id"]
    assert by_paragraph["language_id"]["document_prior"] == {"enabled": True}
    assert DocumentPrior().inert()
    assert not ON.inert()


# Mined


@pytest.fixture(scope="module")
def crawl(tmp_path_factory) -> Path:
    """Pages of nine languages, one in two languages, one in Zulu."""
    path = tmp_path_factory.mktemp("boilerplate") / "pages.jsonl"
    pages = [(code, page) for code, found in boilerplate_pages(8).items() for page in found]
    pages += [
        ("mixed", [*clean_paragraphs("de", 30)[-4:], *clean_paragraphs("fr", 30)[-4:]]),
        ("zu", ["Ikhaya", *ZULU, "Windows 8.1 (99)"]),
    ]
    records = [
        {"text": "\n".join(lines), "url": f"https://example.org/{name}/{i}"} for i, (name, lines) in enumerate(pages)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_mined_pages_have_the_languages_of_their_text(done, crawl):
    words = (*BY_PARAGRAPH, "--corpus.fetch.crawl", str(crawl), "--corpus.read.min_characters", "200")
    counted = []
    for more in ((), ("--corpus.language_id.document_prior.enabled", "true")):
        done.run(*words, *more, until="corpus.mine")
        manifest = read_manifest(done.output("corpus.mine", *words, *more))
        assert manifest is not None
        counted.append(manifest.counts)
    without, found = (counts["languages"] for counts in counted)
    assert len(without) > 12
    assert len(found) <= 12
    characters = {code: amounts["characters"] for code, amounts in found.items()}
    assert sum(characters[code] for code in MENUS) >= 0.99 * (sum(characters.values()) - characters["zu"])
    assert math.isclose(characters["zu"], sum(map(len, ["Ikhaya", *ZULU, "Windows 8.1 (99)"])))
    assert found["de"]["documents"] == found["es"]["documents"] + 1
    dropped = counted[1]["dropped"].get("language unsure", {"characters": 0})
    assert dropped["characters"] < 0.02 * sum(characters.values())
