"""SQuAD 1.1 and 2.0, XQuAD and MLQA: one JSON shape, articles of paragraphs of questions; answers have a place.

An answer that does not stand in its context where the file says is corrected or left out, and counted (``answers``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from finetune.data.answers import AnswerCheck
from finetune.data.content import read_text
from finetune.data.examples import Location, Question, TaskData
from finetune.data.files import Files, ask_languages, split_files
from finetune.data.settings import TaskSettings
from pipeline.errors import XlmrError
from pipeline.unicode import is_unicode

SQUAD = {"train": "train-v1.1.json", "dev": "dev-v1.1.json"}
SQUAD2 = {"train": "train-v2.0.json", "dev": "dev-v2.0.json"}
XQUAD_LANGUAGES = ("en", "es", "de", "el", "ru", "tr", "ar", "vi", "th", "zh", "hi", "ro")
MLQA_LANGUAGES = ("en", "es", "de", "ar", "hi", "vi", "zh")

PUBLISHED_SQUAD = "SQuAD 1.1 (https://rajpurkar.github.io/SQuAD-explorer/dataset/)"
PUBLISHED_SQUAD2 = "SQuAD 2.0 (https://rajpurkar.github.io/SQuAD-explorer/dataset/)"
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


def squad2_files(settings: TaskSettings) -> Files:
    """SQuAD 2.0: English. Its test set is unpublished, so dev stands for both."""
    files = {split: _english(settings, split, SQUAD2, PUBLISHED_SQUAD2) for split in SQUAD2}
    ask_languages("squad2", "test", settings.test_languages, ["en"])
    return {**files, "test": files["dev"]}


def read(settings: TaskSettings, files: Files) -> TaskData:
    """The questions of every file; one that stands for two splits is read once."""
    known: dict[str, list[Question]] = {}
    notes = [XQUAD_DEV] if settings.name == "xquad" else []
    for address in dict.fromkeys(address for split in files.values() for address in split.values()):
        known[address], lines = read_questions(address, strict=settings.strict, no_answers=settings.name == "squad2")
        notes += lines
    splits = {split: {language: known[address] for language, address in some.items()} for split, some in files.items()}
    return TaskData(settings.name, "span", (), splits["train"], splits["dev"], splits["test"], tuple(notes))


def read_questions(
    file: str, articles: slice = slice(None), *, strict: bool = False, no_answers: bool = False
) -> tuple[list[Question], list[str]]:
    """The questions of one file, or of some of its articles, and lines on what was corrected or left out.

    ``strict``: an answer that is not at its place is an error. ``no_answers``: a question without answers has none,
    as in SQuAD 2.0; else only one that says ``is_impossible``. Errors: XlmrError naming the question that is wrong.
    """
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise XlmrError(f"{file}: not JSON ({error})", "give the file as it is published") from None
    check = AnswerCheck(file, strict)
    found = list(_questions(file, content, articles, check, no_answers))
    if not found and not check.left_out:
        raise XlmrError(f"{file}: holds no question", "check the file, and the articles that are asked for")
    return _checked(found, check)


def questions_of(
    file: str, rows: Iterable[tuple[int, Mapping[str, Any]]], *, strict: bool = False
) -> tuple[list[Question], list[str]]:
    """The same of (number, values) of single questions: ``question``, ``context``, ``answers`` as in SQuAD, ``id``.

    A question that says ``is_impossible`` needs no answer; one without ``id`` is named by its number.
    """
    check, found = AnswerCheck(file, strict), list[Question]()
    for number, values in rows:
        location = Location(file, number, "question")
        entry = {"id": number, "answers": [], **values}
        if question := _kept(_question(entry, entry, entry, location, check), entry, check):
            found.append(question)
    return _checked(found, check)


def _checked(found: list[Question], check: AnswerCheck) -> tuple[list[Question], list[str]]:
    lines = list(check.lines())
    if not found:
        raise XlmrError(lines[-1], "no question is left; the file must be shaped as SQuAD")
    _check_ids(found)
    return found, lines


def check_answers(question: Question, given: Iterable[tuple[object, object]], check: AnswerCheck) -> Question:
    """``question`` with those of the given (text, first character) that stand in its context; see ``AnswerCheck``."""
    found = [check.checked(question.context, text, start, question.location) for text, start in given]
    return replace(question, answers=tuple(one for one in found if one is not None))


def _check_ids(found: Iterable[Question]) -> None:
    known: dict[str, Question] = {}
    for question in found:
        if known.setdefault(question.id, question) is not question:
            first = known[question.id].location.row
            raise XlmrError(f"{question.location}: has the id of question {first}, {question.id!r}", "give it another")


def _questions(file: str, content: Any, articles: slice, check: AnswerCheck, no_answers: bool) -> Iterator[Question]:
    row = 0
    chosen = range(*articles.indices(len(_items(content, "data", Location(file, 1, "article")))))
    for number, article in enumerate(content["data"]):
        for paragraph in _items(article, "paragraphs", Location(file, number + 1, "article")):
            for entry in _items(paragraph, "qas", Location(file, row + 1, "question")):
                row += 1
                if number not in chosen:
                    continue
                question = _question(entry, paragraph, article, Location(file, row, "question"), check)
                if kept := _kept(question, entry, check, no_answers):
                    yield kept


def _kept(
    question: Question, entry: Mapping[str, Any], check: AnswerCheck, no_answers: bool = False
) -> Question | None:
    """The question; None, which is counted, where an answer is lost and it does not say that it has none."""
    if question.answers or entry.get("is_impossible") is True or (no_answers and not entry["answers"]):
        return question
    check.leave_out_question(question.location, answers=len(entry["answers"]))
    return None


def _question(entry: Any, paragraph: Any, article: Any, location: Location, check: AnswerCheck) -> Question:
    context = _text(paragraph, "context", location)
    given = [
        (answer.get("text"), answer.get("answer_start")) if isinstance(answer, dict) else (None, None)
        for answer in _items(entry, "answers", location)
    ]
    title = article.get("title")
    question = Question(
        _id(entry, location),
        _text(entry, "question", location),
        context,
        (),
        title if isinstance(title, str) and is_unicode(title) else "",
        location,
    )
    return check_answers(question, given, check)


def _id(entry: Any, location: Location) -> str:
    """A question's name, which some files give as a number."""
    found = entry.get("id")
    return str(found) if isinstance(found, int) and not isinstance(found, bool) else _text(entry, "id", location)


def _items(values: Any, name: str, location: Location) -> list[Any]:
    found = values.get(name) if isinstance(values, dict) else None
    if not isinstance(found, list):
        raise XlmrError(f"{location}: has no list {name!r}", "the file must be shaped as SQuAD")
    return found


def _text(values: Any, name: str, location: Location) -> str:
    found = values.get(name) if isinstance(values, dict) else None
    if not isinstance(found, str) or not found.strip():
        raise XlmrError(f"{location}: has no text {name!r}", "the file must be shaped as SQuAD")
    if not is_unicode(found):
        raise XlmrError(f"{location}: {name!r} holds half of a surrogate pair", "write the character in UTF-8")
    return found


def _english(
    settings: TaskSettings, split: str, names: Mapping[str, str] = SQUAD, published: str = PUBLISHED_SQUAD
) -> dict[str, str]:
    """SQuAD's file, under the language that it is in."""
    name = names[split]
    return split_files(settings, split, {"en": [name, f"squad/{name}", f"SQuAD/{name}"]}, published)


def _mlqa_folders(split: str) -> tuple[str, ...]:
    return (f"{split}/", "", f"MLQA_V1/{split}/")
