"""More labelled text for identifiers: prose, strings of interfaces, dictionaries, other alphabets, names, code.

Everything comes from packages of Debian 12 that are pinned in ``packages.json``, but for the prose, which is a
folder of files ``<code>.txt.xz`` (verses under CC0, sentences of the Open Language Data Initiative under CC BY-SA).
"""

from __future__ import annotations

import json
import lzma
import random
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from benchmarks.language import word_lists
from benchmarks.language.message_catalogues import code_of

Documents = Iterator[list[str]]

FIREFOX = "firefox-esr-l10n-"
HUNSPELL = re.compile(r"(?:hunspell|myspell)-(\w+)")
HELD_OUT = 10
"""One document in so many is held out."""
LINES_A_DOCUMENT = 20
MOST_DICTIONARY_BYTES = 60_000
MOST_NAMES, MOST_CODE = 4_000, 1_500

_NO_DICTIONARY = {"te"}  # it is the source of te_rom already
_CODE = re.compile(r"\w.*\w")


def firefox_messages(folder: Path) -> list[str]:
    """The messages of the browser in one language."""
    (archive,) = folder.rglob("*.xpi")
    with zipfile.ZipFile(archive) as files:
        names = sorted(n for n in files.namelist() if n.endswith((".ftl", ".properties")))
        lines = [line for name in names for line in files.read(name).decode("utf-8", "replace").splitlines()]
    return [line.partition("=")[2].strip() for line in lines if "=" in line and not line.startswith("#")]


def firefox_locales(folders: Mapping[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """(our code, messages) of each locale; what English has word for word is English."""
    english = set(firefox_messages(folders[f"{FIREFOX}en-gb"]))
    for name in sorted(folders):
        if name.startswith(FIREFOX):
            code = code_of(name.removeprefix(FIREFOX))
            yield code, [m for m in firefox_messages(folders[name]) if code == "en" or m not in english]


def dictionary_words(folders: Mapping[str, Path]) -> Iterator[tuple[str, Documents]]:
    """(our code, documents of words of its spelling dictionary, drawn evenly)."""
    for name in sorted(folders):
        found = HUNSPELL.match(name)
        if found and found[1] not in _NO_DICTIONARY:
            code = code_of(found[1])
            words = _words(folders[name])
            yield code, _up_to(word_lists.documents(dict.fromkeys(words, 1.0), code), MOST_DICTIONARY_BYTES)


def _words(folder: Path) -> list[str]:
    """The entries of a folder's dictionaries in lower case, which leaves out most names."""
    words: list[str] = []
    for file in sorted(folder.rglob("*.dic")):
        if file.is_symlink() or file.name.startswith("hyph"):
            continue
        affixes = file.with_suffix(".aff")
        head = affixes.read_bytes()[:2_000].decode("latin-1") if affixes.exists() else ""
        named = re.search(r"^\s*SET\s+(\S+)", head, re.M)
        encoding = named[1] if named else "utf-8"
        lines = file.read_text("utf-8" if encoding.upper() == "UTF-8" else encoding.lower(), "replace").splitlines()
        entries = (re.split(r"[/\t]", line)[0].strip() for line in lines[1:])
        words += [word for word in entries if word == word.lower() and len(word) > 1 and "\ufffd" not in word]
    return random.Random("dictionary").sample(sorted(set(words)), min(len(set(words)), word_lists.MOST_WORDS))


def _up_to(documents: Iterable[list[str]], size: int) -> Documents:
    for paragraphs in documents:
        yield paragraphs
        size -= sum(len(paragraph.encode()) for paragraph in paragraphs)
        if size <= 0:
            return


def prose(folder: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """(code, documents) of each file of a folder; lines that no empty line divides are documents of twenty."""
    for file in sorted(folder.rglob("*.txt.xz")):
        blocks = [block.splitlines() for block in lzma.decompress(file.read_bytes()).decode().split("\n\n")]
        cut = [b[i : i + LINES_A_DOCUMENT] for b in blocks for i in range(0, len(b), LINES_A_DOCUMENT)]
        yield code_of(file.name.partition(".")[0]), [document for document in cut if document]


def parted(documents: list[list[str]]) -> tuple[list[list[str]], list[list[str]]]:
    """Those to learn from, and the last of them, which are held out: other books, other articles."""
    edge = len(documents) - len(documents) // HELD_OUT
    return documents[:edge], documents[edge:]


def names_and_code(folders: Mapping[str, Path]) -> Documents:
    """What is in no language: names of places of the whole world, and lines of program code."""
    rng = random.Random("names")
    places = json.loads((folders["iso-codes"] / "usr/share/iso-codes/json/iso_3166-2.json").read_text("utf-8"))
    names = sorted({row["name"] for row in places["3166-2"]})
    names = rng.sample(names, min(len(names), MOST_NAMES))
    for start in range(0, len(names), LINES_A_DOCUMENT):
        yield names[start : start + LINES_A_DOCUMENT]
    scripts = sorted((folders["mediawiki"] / "usr/share/mediawiki/resources/src").rglob("*.js"))
    lines = sorted({" ".join(line.split()) for file in scripts for line in file.read_text("utf-8").splitlines()})
    code = [line for line in lines if not line.startswith(("*", "/")) and _CODE.search(line)]
    code = rng.sample(code, min(len(code), MOST_CODE))
    for start in range(0, len(code), LINES_A_DOCUMENT):
        yield code[start : start + LINES_A_DOCUMENT]


# Spelling in another alphabet. Serbian is written in both; the others were in Cyrillic until the 1990s, and some are.
_LATIN_SERBIAN = re.split(" ", "a b v g d đ e ž z i j k l lj m n nj o p r s t ć u f h c č dž š")
_SERBIAN = dict(zip("абвгдђежзијклљмнњопрстћуфхцчџш", _LATIN_SERBIAN, strict=True))
_UZBEK = {
    "o'": "ў", "g'": "ғ", "sh": "ш", "ch": "ч", "ya": "я", "yo": "ё", "yu": "ю", "ye": "е", "ts": "ц",
    **dict(zip("abdefghijklmnopqrstuvxyz", "абдефгҳижклмнопқрстувхйз", strict=True)),
}  # fmt: skip
_AZERBAIJANI = dict(zip("abcçdeəfgğhxıijkqlmnoöprsştuüvyz", "абҹчдеәфҝғһхыижкглмноөпрсштуүвјз", strict=True))
_APOSTROPHES = re.compile("[\u02bb\u02bc\u2018\u2019`]")


# https://en.wikipedia.org/wiki/Uyghur_Latin_alphabet; the mark before a vowel at a word's beginning is not written.
_UYGHUR = dict(zip("اەبپتجچخدرزژسشغفقكگڭلمنھوۇۆۈۋېىي", [
    *"aebptj", "ch", *"xdrz", "zh", "s", "sh", "gh", *"fqkg", "ng", *"lmnhouöüwëiy",
], strict=True))  # fmt: skip
_WITHIN_A_WORD = re.compile(r"(?<=\w)ئ")
OTHER_SCRIPTS = {"sr": "Latin", "uz": "Cyrillic", "az": "Cyrillic", "ug": "Latin"}
"""Languages that are spelt anew in another script: most of their text is in one, and much on the web in the other."""


def in_the_other_alphabet(code: str, documents: Iterable[list[str]]) -> Documents:
    """Documents of OTHER_SCRIPTS in the other script; capitals are not kept."""
    if code == "ug":
        return _uyghur_in_latin_letters(documents)
    return _spelt(documents, {"sr": _SERBIAN, "uz": _UZBEK, "az": _AZERBAIJANI}[code])


def _spelt(documents: Iterable[list[str]], table: Mapping[str, str]) -> Documents:
    pattern = re.compile("|".join(sorted(map(re.escape, table), key=len, reverse=True)))
    for paragraphs in documents:
        lowered = [_APOSTROPHES.sub("'", paragraph.replace("İ", "i")).lower() for paragraph in paragraphs]
        changed = [pattern.sub(lambda match: table[match[0]], paragraph) for paragraph in lowered]
        yield [new for new, old in zip(changed, lowered, strict=True) if new != old]


def _uyghur_in_latin_letters(documents: Iterable[list[str]]) -> Documents:
    """One document in two writes é for ë, as people do."""
    for number, paragraphs in enumerate(documents):
        table = str.maketrans({**_UYGHUR, "ئ": "", "ې": "éë"[number % 2], "،": ",", "؟": "?", "؛": ";"})
        yield [_WITHIN_A_WORD.sub("'", paragraph).translate(table) for paragraph in paragraphs]


def mixed_with_english(code: str, documents: Iterable[list[str]], english: list[str]) -> Documents:
    """The same documents, where in one paragraph in two each fifth word is an English one, as people write."""
    rng = random.Random(f"mixed {code}")
    for paragraphs in documents:
        yield [_mixed(paragraph, english, rng) if rng.random() < 0.5 else paragraph for paragraph in paragraphs]


def _mixed(paragraph: str, english: list[str], rng: random.Random) -> str:
    return " ".join(rng.choice(english) if rng.random() < 0.2 else word for word in paragraph.split())
