"""Settings of the filters: which sets of rules are on, the thresholds of each with their source. Imports nothing heavy.

Everything is off by default, as in cc_net and CC100. A set is switched on by its name in ``rules``; what is on can be
different by language, in ``languages``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import ValidationError, model_validator

from pipeline.config import FileAddress, Section, setting
from pipeline.plug_ins import Registry

OWN_RULES = Registry("filter rule", group="xlmr.filter_rules")
"""Rules of a user's."""

RuleSet = Literal[
    "only_hosts", "url_lists", "length", "script", "refinedweb", "c4", "mc4", "gopher_quality", "gopher_repetition",
    "fineweb", "bad_words",
]  # fmt: skip
Kind = Literal["email", "iban", "credit_card", "ipv4", "ipv6", "phone"]

OF_MASK = ("mask", "placeholders")
"""The settings of masks; all others are of rules."""

GOPHER_QUALITY = "Gopher (Rae et al. 2021), A.1.1, quality filtering"
GOPHER_TABLE = "Gopher (Rae et al. 2021), Table A1"
C4_CODE = "T5 (Raffel et al. 2020), 2.2; value of c4_utils.py in tensorflow_datasets"
REFINEDWEB = "RefinedWeb (Penedo et al. 2023), G.2"
FINEWEB = "FineWeb (Penedo et al. 2024), 3.6"

SENTENCE_ENDS = ".?!。？！｡．؟۔।॥։።፧။៕៖᙮᠃⁇‼⁉"
CLOSING_QUOTES = '"”’»』」'


class UrlLists(Section):
    """Hosts and pages that are left out, from files; plain or compressed, any fsspec address."""

    files: tuple[FileAddress, ...] = setting(
        (),
        "lists of hosts and pages, one a line: 'host' with all below it, or 'host/path' with all below it; paths or "
        "patterns, as ut1/adult/domains",
        source="RefinedWeb (Penedo et al. 2023), G.1: UT1 lists",
    )
    patterns: tuple[FileAddress, ...] = setting(
        (), "lists of regular expressions, one a line, searched in the whole URL"
    )


class OnlyHosts(Section):
    """Hosts and pages that are kept, and no others."""

    hosts: tuple[str, ...] = setting(
        (),
        "hosts with all below them (example.org, also www.example.org; is: every host of Iceland), or 'host/path' with "
        "all below it",
    )
    files: tuple[FileAddress, ...] = setting((), "lists of the same, as in url_lists.files")


class Length(Section):
    """How long a document must be and may be."""

    min_characters: int = setting(0, "characters, newlines not counted", ge=0)
    max_characters: int | None = setting(None, "characters, newlines not counted", ge=0)
    min_words: int = setting(0, "words between white space", ge=0)
    max_words: int | None = setting(None, "words between white space", ge=0)
    min_lines: int = setting(0, "lines that are not empty", ge=0)
    max_lines: int | None = setting(None, "lines that are not empty", ge=0)


class Script(Section):
    """Whether a document is in the scripts of its language. Languages that the table does not know pass."""

    min_share: float = setting(0.5, "share of the letters that are in the language's scripts", ge=0, le=1)


class RefinedWeb(Section):
    """RefinedWeb's rules for lines, and for documents that lose too much by them."""

    min_words: int = setting(2, "lines with fewer words are left out", ge=0, source=REFINEDWEB)
    uppercase_share: float | None = setting(
        0.5,
        "lines in which more of the words are in capitals are left out; null: off",
        ge=0,
        le=1,
        source=f"{REFINEDWEB} says 'mainly'; the value is our choice",
    )
    numbers: bool = setting(True, "leave out lines of numbers only", source=REFINEDWEB)
    counters: bool = setting(True, "leave out lines as '3 likes'", source=REFINEDWEB)
    max_removed_share: float = setting(
        0.05, "documents that lose a larger share of their words are dropped", ge=0, le=1, source=REFINEDWEB
    )


class C4(Section):
    """C4's rules for lines and pages."""

    terminal_punctuation: str = setting(
        SENTENCE_ENDS + CLOSING_QUOTES,
        "a line must end in one of these, and not in an ellipsis; empty: any line; never asked of Thai and Lao",
        source='T5 (Raffel et al. 2020), 2.2, has .?!"; the other scripts and quotation marks are our choice',
    )
    min_words_per_line: int = setting(5, "lines with fewer words are left out", ge=0, source=C4_CODE)
    max_word_length: int = setting(1000, "lines with a longer word are left out", ge=1, source=C4_CODE)
    drop_lines_with: tuple[str, ...] = setting(
        (
            "javascript", "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies",
            "use cookies",
        ),
        "lines with one of these (in lower case) are left out", source=C4_CODE,
    )  # fmt: skip
    drop_pages_with: tuple[str, ...] = setting(
        ("lorem ipsum", "{"), "pages with one of these (in lower case) are dropped", source=C4_CODE
    )
    min_sentences: int = setting(3, "pages with fewer sentences are dropped", ge=0, source=C4_CODE)


class MC4(Section):
    """mC4's rule, in place of C4's for lines."""

    min_long_lines: int = setting(
        3, "lines of at least long_line characters", ge=0, source="mT5 (Xue et al. 2021), 3.1"
    )
    long_line: int = setting(200, "characters", ge=0, source="mT5 (Xue et al. 2021), 3.1")


class GopherQuality(Section):
    """Whether a document looks like prose."""

    min_words: int = setting(50, "words", ge=0, source=GOPHER_QUALITY)
    max_words: int = setting(100_000, "words", ge=0, source=GOPHER_QUALITY)
    min_mean_word_length: float = setting(3, "characters", ge=0, source=GOPHER_QUALITY)
    max_mean_word_length: float = setting(10, "characters", ge=0, source=GOPHER_QUALITY)
    max_symbols_per_word: float = setting(0.1, "hash signs, or ellipses, per word", ge=0, source=GOPHER_QUALITY)
    max_bullet_lines: float = setting(
        0.9, "share of the lines that start with a bullet", ge=0, le=1, source=GOPHER_QUALITY
    )
    bullets: tuple[str, ...] = setting(
        ("•", "‣", "▪", "●", "○", "◦", "∙", "·", "-", "–", "*"), "what a bullet is", source="our choice; not published"
    )
    max_ellipsis_lines: float = setting(
        0.3, "share of the lines that end in an ellipsis", ge=0, le=1, source=GOPHER_QUALITY
    )
    min_alphabetic_words: float = setting(0.8, "share of the words with a letter", ge=0, le=1, source=GOPHER_QUALITY)
    min_stop_words: int = setting(2, "different stop words in a document", ge=0, source=GOPHER_QUALITY)
    stop_words: dict[str, tuple[str, ...]] = setting(
        {"en": ("the", "be", "to", "of", "and", "that", "have", "with")},
        "stop words by language; a language without them is not asked for any",
        source=GOPHER_QUALITY,
    )


class GopherRepetition(Section):
    """How much of a document repeats itself: shares of its lines, paragraphs, characters."""

    max_duplicate_lines: float = setting(0.30, "share of the lines", ge=0, le=1, source=GOPHER_TABLE)
    max_duplicate_paragraphs: float = setting(0.30, "share of the paragraphs", ge=0, le=1, source=GOPHER_TABLE)
    max_duplicate_line_characters: float = setting(0.20, "share of the characters", ge=0, le=1, source=GOPHER_TABLE)
    max_duplicate_paragraph_characters: float = setting(
        0.20, "share of the characters", ge=0, le=1, source=GOPHER_TABLE
    )
    max_top_ngram: dict[int, float] = setting(
        {2: 0.20, 3: 0.18, 4: 0.16}, "share of the characters in the most frequent n-gram, by n", source=GOPHER_TABLE
    )
    max_duplicate_ngrams: dict[int, float] = setting(
        {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10},
        "share of the characters in n-grams that came before, by n", source=GOPHER_TABLE,
    )  # fmt: skip


class FineWeb(Section):
    """FineWeb's own rules. Its published code drops from 0.01 of duplicate characters on, its paper from 0.1 on."""

    min_punctuated_lines: float = setting(
        0.12, "share of the lines that end in punctuation; as many are too few", ge=0, le=1, source=FINEWEB
    )
    punctuation: str = setting(SENTENCE_ENDS, "what a line ends in", source="our choice; not published")
    max_duplicate_line_characters: float = setting(
        0.1, "share of the characters in duplicate lines; as many are too many", ge=0, le=1, source=FINEWEB
    )
    max_short_lines: float = setting(0.67, "share of short lines; as many are too many", ge=0, le=1, source=FINEWEB)
    short_line: int = setting(30, "lines with fewer characters are short", ge=0, source=FINEWEB)
    max_lines_per_word: float | None = setting(
        0.3, "line breaks per word; null: off", ge=0, source="fineweb_quality_filter.py of datatrove, not in the paper"
    )


class BadWords(Section):
    """Words that no document may hold, from files."""

    files: dict[str, FileAddress] = setting(
        {}, "a list by language ('*': every language), one word or phrase a line", source="T5 (Raffel et al. 2020), 2.2"
    )
    max_words: int = setting(0, "different words of the list that are still kept", ge=0, source="T5: none")


class Placeholders(Section):
    """What is written where something was masked."""

    email: str = setting("[email]", "for an e-mail address")
    iban: str = setting("[iban]", "for an account number")
    credit_card: str = setting("[card]", "for a card number")
    ipv4: str = setting("[ip]", "for an IPv4 address")
    ipv6: str = setting("[ip]", "for an IPv6 address")
    phone: str = setting("[phone]", "for a phone number")


class Filters(Section):
    """Rules that keep a document or drop it with a reason. All off by default, as in cc_net and CC100."""

    rules: tuple[RuleSet, ...] = setting((), "sets of rules that are on, in the order in which they are asked")
    own: tuple[Annotated[str, OWN_RULES], ...] = setting(
        (), "rules of your own, as my.rules:no_dots, asked in this order after those of rules, in every language"
    )
    mask: tuple[Kind, ...] = setting((), "personal data that is masked")
    only_hosts: OnlyHosts = setting(OnlyHosts(), "hosts and pages that are kept, and no others")
    url_lists: UrlLists = setting(UrlLists(), "hosts and pages that are left out")
    length: Length = setting(Length(), "how long a document must be and may be")
    script: Script = setting(Script(), "whether it is in the scripts of its language")
    refinedweb: RefinedWeb = setting(RefinedWeb(), "RefinedWeb's rules for lines")
    c4: C4 = setting(C4(), "C4's rules for lines and pages")
    mc4: MC4 = setting(MC4(), "mC4's rule for lines")
    gopher_quality: GopherQuality = setting(GopherQuality(), "whether it looks like prose")
    gopher_repetition: GopherRepetition = setting(GopherRepetition(), "how much of it repeats itself")
    fineweb: FineWeb = setting(FineWeb(), "FineWeb's rules")
    bad_words: BadWords = setting(BadWords(), "words that no document may hold")
    placeholders: Placeholders = setting(Placeholders(), "what is written where something was masked")
    languages: dict[str, dict[str, Any]] = setting(
        {}, "what differs in a language: its own 'rules', or thresholds, as {de: {gopher_quality: {min_words: 40}}}"
    )

    @model_validator(mode="after")
    def _some_hosts(self) -> Self:
        if "only_hosts" in self.rules and not (self.only_hosts.hosts or self.only_hosts.files):
            raise ValueError("rules has only_hosts, but only_hosts names no hosts and no files: nothing would be kept")
        return self

    def inert(self) -> Collection[str]:
        """The sets of rules that are on in no language, and what is written for data that is not masked."""
        rules = set(get_args(RuleSet)) - self.rules_in_use()
        return rules | {f"placeholders.{kind}" for kind in get_args(Kind) if kind not in self.mask}

    @model_validator(mode="after")
    def _languages_are_understood(self) -> Self:
        for language in self.languages:
            self.of_language(language)
        return self

    def rules_in_use(self) -> set[RuleSet]:
        """The sets of rules that are on, be it in one language alone."""
        return {name for one in (self, *map(self.of_language, self.languages)) for name in one.rules}

    def of_language(self, language: str) -> Filters:
        """The settings for one language: these, with what ``languages`` says of it laid over them."""
        over = self.languages.get(language)
        if over is None:
            return self
        values = self.model_dump(exclude={"languages"})
        for name, value in over.items():
            if name in {"languages", "own", "mask", "placeholders", "only_hosts", "url_lists", "bad_words"}:
                raise ValueError(f"{language}: {name} cannot differ by language")
            same = isinstance(value, Mapping) and isinstance(values.get(name), dict)
            values[name] = {**values[name], **value} if same else value
        try:
            return Filters.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, (language, *first["loc"])))
            raise ValueError(f"{where}: {first['msg']}") from None


def list_files(filters: Filters) -> dict[str, str]:
    """The files that the rules in use, in any language, read: {address or pattern: setting that names it}."""
    files: dict[str, str] = {}
    rules = filters.rules_in_use()
    if "only_hosts" in rules:
        files |= dict.fromkeys(filters.only_hosts.files, "filters.only_hosts.files")
    if "url_lists" in rules:
        files |= dict.fromkeys(filters.url_lists.files, "filters.url_lists.files")
        files |= dict.fromkeys(filters.url_lists.patterns, "filters.url_lists.patterns")
    if "bad_words" in rules:
        files |= dict.fromkeys(filters.bad_words.files.values(), "filters.bad_words.files")
    return files
