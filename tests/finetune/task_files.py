"""Small task files for tests, and the one line that a faulty one gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune.data.reading import read_task
from finetune.data.settings import TaskSettings
from pipeline.errors import XlmrError

AT_THE_END = ("Paris is big, Paris is old", "What is it?", [("old", 23), ("Paris is old", 14)])
CHINESE = ("他1990年生于北京。", "哪里？", [("北京", 8)])


def problem(settings: TaskSettings) -> str:
    with pytest.raises(XlmrError) as caught:
        read_task(settings)
    line = str(caught.value)
    assert "\n" not in line
    return line


def write(folder: Path, files: dict[str, str], encoding: str = "utf-8") -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode(encoding))


def squad_json(*articles: list[tuple[str, str, list[tuple[str, int]]]]) -> str:
    """Each article: (context, question, answers); ids count through the file."""
    data, number = [], 0
    for place, article in enumerate(articles):
        paragraphs = []
        for context, question, answers in article:
            number += 1
            shaped = [{"text": text, "answer_start": start} for text, start in answers]
            paragraphs.append(
                {"context": context, "qas": [{"id": f"q{number}", "question": question, "answers": shaped}]}
            )
        data.append({"title": f"T{place}", "paragraphs": paragraphs})
    return json.dumps({"version": "1.1", "data": data})
