"""The filters that are on, as one object: which documents are dropped and why, which lines stay, what is masked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from corpus.filters.lines import LINE_RULES, Trimmed, trim_document
from corpus.filters.list_files import read_entries
from corpus.filters.masking import make_masker
from corpus.filters.own_rule import OwnRule
from corpus.filters.repetition import measure_ngrams
from corpus.filters.rules import RULES
from corpus.filters.scripts import CHARACTERS_PER_WORD
from corpus.filters.settings import OWN_RULES, Filters, GopherRepetition, RuleSet
from corpus.filters.text import DocumentText
from corpus.filters.url_list import UrlList
from corpus.filters.word_list import WordList
from pipeline.storage import canonical_json

EVERY_LANGUAGE = "*"
CHARACTERS_AT_ONCE = 2**20


class FilterChain:
    """The rules, line rules and masks of the settings. Each answer stands for the document at the same place."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self._of_language = {language: filters.of_language(language) for language in filters.languages}
        names = filters.rules_in_use()
        self._own = [OwnRule(OWN_RULES.import_string(name)) for name in filters.own]
        self.checks = bool(names or self._own)
        """Whether any rule may drop a document."""
        self.trims = any(name in LINE_RULES for name in names)
        """Whether any rule may leave out a line."""
        self.masks = bool(filters.mask)
        """Whether anything is masked."""
        self._masker = make_masker(filters)
        lists = filters.url_lists if "url_lists" in names else None
        self._urls = UrlList(lists.files, lists.patterns) if lists else None
        only = filters.only_hosts if "only_hosts" in names else None
        self._only = UrlList(only.files, entries=only.hosts) if only else None
        self._words = _word_lists(filters.bad_words.files) if "bad_words" in names else {}

    @property
    def empty(self) -> bool:
        """Whether nothing is on."""
        return not (self.checks or self.trims or self.masks)

    def check(self, lines: Sequence[Sequence[str]], urls: Sequence[str], languages: Sequence[str]) -> list[str | None]:
        """For each document None, or the reason why it is dropped, as ``gopher_quality: too few words``.

        The reason is the first in the order of ``rules``, then of ``own``. Lines hold no newline.
        """
        reasons: list[str | None] = [None] * len(lines)
        alike: dict[str, list[int]] = defaultdict(list)
        for place, language in enumerate(languages):
            alike[language if language in self._of_language else ""].append(place)
        for language, places in alike.items():
            for some in _in_runs(places, lines):
                found = self._check(
                    self._settings(language), [DocumentText(lines[i], urls[i], languages[i]) for i in some]
                )
                for place, reason in zip(some, found, strict=True):
                    reasons[place] = reason
        return reasons

    def _check(self, filters: Filters, texts: Sequence[DocumentText]) -> list[str | None]:
        """The reasons for texts with the same settings; a set of rules sees only what the sets before it left."""
        reasons: list[str | None] = [None] * len(texts)
        for name in filters.rules:
            left = [place for place, reason in enumerate(reasons) if reason is None]
            self._prepare(name, filters, [texts[place] for place in left])
            for place in left:
                reasons[place] = _first_reason(name, filters, texts[place])
        for rule in self._own:
            left = [place for place, reason in enumerate(reasons) if reason is None]
            for place, reason in zip(left, rule.reasons([texts[place] for place in left]), strict=True):
                reasons[place] = reason
        return reasons

    def trim(self, lines: Sequence[Sequence[str]], languages: Sequence[str]) -> Trimmed:
        """Which lines stay, which documents are dropped with theirs, and how many lines were left out, by reason."""
        trimmed = Trimmed()
        for document, language in zip(lines, languages, strict=True):
            trim_document(document, language, self._settings(language), trimmed)
        return trimmed

    def mask(self, lines: Sequence[Sequence[str]]) -> tuple[list[list[str]], Counter[str]]:
        """The same lines with personal data masked, and how often each kind was."""
        return self._masker.mask(lines)

    def _settings(self, language: str) -> Filters:
        return self._of_language.get(language, self._filters)

    def _prepare(self, name: RuleSet, filters: Filters, texts: Sequence[DocumentText]) -> None:
        """Find out what is cheaper for many documents at once."""
        if name == "url_lists" and self._urls is not None:
            for text, listed in zip(texts, self._urls.holds([text.url for text in texts]), strict=True):
                text.listed = listed
        elif name == "only_hosts" and self._only is not None:
            for text, listed in zip(texts, self._only.holds([text.url for text in texts]), strict=True):
                text.of_other_host = not listed
        elif name == "bad_words":
            for text in texts:
                words = self._words.get(text.language), self._words.get(EVERY_LANGUAGE)
                text.bad_words = sum(one.count(text) for one in words if one)
        elif name == "gopher_repetition":
            limits: GopherRepetition = filters.gopher_repetition
            shares = measure_ngrams(texts, tuple(limits.max_top_ngram), tuple(limits.max_duplicate_ngrams))
            for text, ngrams in zip(texts, shares, strict=True):
                text.ngrams = ngrams


def _in_runs(places: Sequence[int], lines: Sequence[Sequence[str]]) -> Iterator[list[int]]:
    """Documents, in order, as many at once as have CHARACTERS_AT_ONCE: what is counted of them is held that long."""
    some: list[int] = []
    characters = 0
    for place in places:
        some.append(place)
        characters += sum(map(len, lines[place]))
        if characters >= CHARACTERS_AT_ONCE:
            yield some
            some, characters = [], 0
    if some:
        yield some


def _first_reason(name: RuleSet, filters: Filters, text: DocumentText) -> str | None:
    limits = getattr(filters, name)
    for rule in RULES[name]:
        if rule(text, limits):
            return f"{name}: {rule.__name__.replace('_', ' ')}"
    return None


def _word_lists(files: Mapping[str, str]) -> dict[str, WordList]:
    lists = {language: read_entries(file) for language, file in files.items()}
    return {language: WordList(words, language in CHARACTERS_PER_WORD) for language, words in lists.items()}


def load_filters(filters: Filters) -> FilterChain:
    """The chain of the settings, made once a process: lists of hosts take a while to read."""
    return _load(canonical_json(filters.model_dump(mode="json")))


@lru_cache(maxsize=2)
def _load(settings: str) -> FilterChain:
    return FilterChain(Filters.model_validate_json(settings))
