"""SQuAD 1.1, XQuAD and MLQA: one JSON shape, articles of paragraphs of questions; answers are character offsets.

No text is changed or aligned anew: an answer must stand in its context at its offset, in every script.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from finetune.data.examples import Question, TaskData, Where
from finetune.data.files import Files, ask_languages, read_text, split_files
from finetune.data.settings import TaskSettings
from pipeline.errors import XlmrError

SQUAD = {"train": "train-v1.1.json", "dev": "dev-v1.1.json"}
XQUAD_LANGUAGES = ("en", "es", "de", "el", "ru", "tr", "ar", "vi", "th", "zh", "hi", "ro")
MLQA_LANGUAGES = ("en", "es", "de", "ar", "hi", "vi", "zh")

PUBLISHED_SQUAD = "SQuAD 1.1 (https://rajpurkar.github.io/SQuAD-explorer/dataset/)"
PUBLISHED_XQUAD = "XQuAD (https://github.com/google-deepmind/xquad)"
PUBLISHED_MLQA = "MLQA_V1.zip (https://github.com/facebookresearch/MLQA)"

XQUAD_DEV = (
    "XQuAD has no dev set; SQuAD's dev set, used in its place, holds the paragraphs that XQuAD was translated from"
)


def squad_files(settings: TaskSettings) -> Files:
    """SQuAD 1.1: English. Its test set is unpublished, so dev stands for both."""
    files = {split: _english(settings, split) for split in SQUAD}
    ask_languages("squad", "test", settings.test_languages, ["en"])
    return {**files, "test": files["dev"]}


def xquad_files(settings: TaskSettings) -> Files:
    """Train and dev: SQuAD 1.1 in English. Test: ``xquad.<language>.json``."""
    names = {language: [f"xquad.{language}.json"] for language in XQUAD_LANGUAGES}
    test = split_files(settings, "test", names, PUBLISHED_XQUAD)
    return {**{split: _english(settings, split) for split in SQUAD}, "test": test}


def mlqa_files(settings: TaskSettings) -> Files:
    """Train: SQuAD 1.1 in English. Dev and test: question and context in the same language."""
    files = {"train": _english(settings, "train")}
    for split in ("dev", "test"):
        places = _mlqa_folders(split)
        names = {
            language: [f"{folder}{split}-context-{language}-question-{language}.json" for folder in places]
            for language in MLQA_LANGUAGES
        }
        files[split] = split_files(settings, split, names, PUBLISHED_MLQA)
    return files


def read(settings: TaskSettings, files: Files) -> TaskData:
    """The questions of every file; one that stands for two splits is read once."""
    known: dict[str, list[Question]] = {}
    for address in dict.fromkeys(address for split in files.values() for address in split.values()):
        known[address] = read_questions(address)
    splits = {split: {language: known[address] for language, address in some.items()} for split, some in files.items()}
    notes = (XQUAD_DEV,) if settings.name == "xquad" else ()
    return TaskData(settings.name, "span", (), splits["train"], splits["dev"], splits["test"], notes)


def read_questions(file: str, articles: slice = slice(None)) -> list[Question]:
    """The questions of one file, or of some of its articles. Errors: XlmrError naming the question that is wrong."""
    try:
        content = json.loads(read_text(file))
    except ValueError as error:
        raise XlmrError(f"{file}: not JSON ({error})", "give the file as it is published") from None
    found = list(_questions(file, content, articles))
    if not found:
        raise XlmrError(f"{file}: holds no question", "check the file, and the articles that are asked for")
    known: dict[str, Question] = {}
    for question in found:
        if known.setdefault(question.id, question) is not question:
            first = known[question.id].where.row
            raise XlmrError(f"{question.where}: has the id of question {first}, {question.id!r}", "give it another")
    return found


def _questions(file: str, content: Any, articles: slice) -> Iterator[Question]:
    row = 0
    chosen = range(*articles.indices(len(_items(content, "data", Where(file, 1, "article")))))
    for number, article in enumerate(content["data"]):
        for paragraph in _items(article, "paragraphs", Where(file, number + 1, "article")):
            for entry in _items(paragraph, "qas", Where(file, row + 1, "question")):
                row += 1
                if number in chosen:
                    yield _question(entry, paragraph, article, Where(file, row, "question"))


def _question(entry: Any, paragraph: Any, article: Any, where: Where) -> Question:
    context = _text(paragraph, "context", where)
    answers = tuple(
        (_text(answer, "text", where), answer.get("answer_start")) for answer in _items(entry, "answers", where)
    )
    title = str(article.get("title") or "")
    return check_answers(
        Question(_text(entry, "id", where), _text(entry, "question", where), context, answers, title, where)
    )


def check_answers(question: Question) -> Question:
    """``question``, whose answers stand where they are said to. Errors: XlmrError for one that does not, or none."""
    for text, start in question.answers:
        there = question.context[start : start + len(text)] if isinstance(start, int) and start >= 0 else ""
        if there != text:
            raise XlmrError(
                f"{question.where}: the answer {_short(text)!r} is not in its context at character {start}",
                f"{_short(there)!r} stands there",
            )
    if not question.answers:
        raise XlmrError(f"{question.where}: has no answer", "questions without one (SQuAD 2.0) are another task")
    return question


def _items(values: Any, name: str, where: Where) -> list[Any]:
    found = values.get(name) if isinstance(values, dict) else None
    if not isinstance(found, list):
        raise XlmrError(f"{where}: has no list {name!r}", "the file must be shaped as SQuAD 1.1")
    return found


def _text(values: Any, name: str, where: Where) -> str:
    found = values.get(name) if isinstance(values, dict) else None
    if not isinstance(found, str) or not found:
        raise XlmrError(f"{where}: has no text {name!r}", "the file must be shaped as SQuAD 1.1")
    return found


def _short(text: str) -> str:
    return " ".join((text if len(text) <= 40 else text[:39] + "…").split())


def _english(settings: TaskSettings, split: str) -> dict[str, str]:
    """SQuAD's file, under the language that it is in."""
    name = SQUAD[split]
    return split_files(settings, split, {"en": [name, f"squad/{name}", f"SQuAD/{name}"]}, PUBLISHED_SQUAD)


def _mlqa_folders(split: str) -> tuple[str, ...]:
    return (f"{split}/", "", f"MLQA_V1/{split}/")
