"""Which task, and where its files are; a task of one's own is described here in full. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, get_args

from pydantic import model_validator

from finetune.choices import METRICS, READERS, USUAL
from pipeline.config import FileAddress, Section, setting

GlueName = Literal["mnli", "qnli", "qqp", "sst2", "mrpc", "stsb"]
TaskName = Literal[
    "none", "xnli", "conll", "wikiann", "squad", "squad2", "xquad", "mlqa", "mnli", "qnli", "qqp", "sst2", "mrpc",
    "stsb", "own",
]  # fmt: skip

GLUE: tuple[str, ...] = get_args(GlueName)
QUESTIONS = ("squad", "xquad", "mlqa")


class OwnTask(Section):
    """A task of one's own. ``{language}`` in a file's name stands for its language; else ``language`` is meant."""

    kind: Literal["classification", "regression", "tagging", "span"] = setting(
        "classification", "class of a text or a pair, number, tag of each word, or answer in a text"
    )
    format: Annotated[str, READERS] = setting(
        "tsv",
        "table; JSON object a line; word and tag a line, blank lines between sentences (also CoNLL-U); SQuAD's JSON;"
        " or a reader of one's own, as my_reader:read",
    )
    train: FileAddress = setting(
        "", "files to train on, as data/train.{language}.tsv; plain or compressed, any address"
    )
    dev: FileAddress = setting("", "files to choose on")
    test: FileAddress = setting("", "files to test on; nothing is chosen on them")
    train_rows: str = setting("", "rows of each training file to take (SQuAD: articles), as :500; empty is all")
    dev_rows: str = setting("", "the same of dev files, as 500:600; several splits may so come from one file")
    test_rows: str = setting("", "the same of test files, as 600:")
    language: str = setting("en", "language of files whose name does not say it")
    encoding: str = setting("utf-8", "of the files; CoNLL-2002 as published is latin-1")
    header: bool = setting(True, "tables: the first row names the columns; otherwise they are 1, 2, …")
    quotes: bool = setting(False, "tables: cells may be in quotation marks, as spreadsheets write; else they are text")
    id_column: str = setting("", "column with the example's name; empty counts rows")
    text_column: str = setting("text", "column with the text")
    pair_column: str = setting("", "column with the second text, where there are two")
    label_column: str = setting("label", "column with the class or number")
    word_column: int = setting(1, "CoNLL: column of the word from 1, from the end if negative")
    tag_column: int = setting(-1, "CoNLL: column of the tag; in CoNLL-U 1 and -1 stand for 2 and 4 (FORM and UPOS)")
    scheme: Literal["auto", "iob", "bioes", "bilou", "plain"] = setting(
        "auto",
        "CoNLL: what tags mean: spans in IOB1 or IOB2, BIOES or BILOU, or plain tags such as parts of speech; auto: iob"
        " for B-KIND and I-KIND, plain for tags that no scheme of spans has",
    )
    labels: tuple[str, ...] = setting(
        (), "classes, kinds of names or plain tags, in the order of scores; empty: those of train"
    )

    def inert(self) -> Collection[str]:
        """What only files of another form have."""
        table = {"header", "quotes"}
        columns = {"id_column", "text_column", "pair_column", "label_column"}
        words = {"word_column", "tag_column", "scheme"}
        if not READERS.is_own(self.format):
            named = set() if self.kind in ("classification", "regression") else columns
            return (
                table | named | {"encoding", "word_column", "tag_column"} | (words if self.kind != "tagging" else set())
            )
        of_others = {"conll": table | columns, "squad": table | columns | words, "jsonl": table | words}
        return of_others.get(self.format, words)

    @model_validator(mode="after")
    def _kind_has_format(self) -> OwnTask:
        formats = {"tagging": ("conll",), "span": ("squad",)}.get(self.kind, ("tsv", "csv", "jsonl"))
        if READERS.is_own(self.format) and self.format not in formats:
            raise ValueError(f"a {self.kind} task is read from {', '.join(formats)}, not from {self.format}")
        return self


class HelpPages(OwnTask):
    """The embedded task: which module of an office suite a help page is about; read as any task of one's own."""

    format: Annotated[str, READERS] = setting("jsonl", "JSON object a line")
    train: FileAddress = setting("samples/task/train.{language}.jsonl.gz", "files to train on")
    dev: FileAddress = setting("samples/task/dev.{language}.jsonl.gz", "files to choose epoch and learning rate on")
    test: FileAddress = setting("samples/task/test.{language}.jsonl.gz", "files to test on; nothing is chosen on them")
    id_column: str = setting("id", "column with a page's name; empty counts rows")
    test_languages: tuple[str, ...] = setting((), "languages to test on; empty is all that there are files of")


class TaskSettings(Section):
    """One task. The languages of each split are the protocol's to say; empty is all that the files have."""

    name: TaskName = setting("none", "which task; own is the one that own describes")
    folder: FileAddress = setting("data", "folder with the task's files as they are published, unpacked")
    source: Literal["folder", "hub"] = setting(
        "folder", "folder, or the Hugging Face hub through the package datasets, which then fetches and keeps them"
    )
    hub_name: str = setting("", "dataset on the hub, where another copy than the usual is wanted")
    train_languages: tuple[str, ...] = setting((), "languages to train on")
    dev_languages: tuple[str, ...] = setting((), "languages to choose on")
    test_languages: tuple[str, ...] = setting((), "languages to test on")
    strict: bool = setting(
        False,
        "questions: an answer that does not stand at its place in the context is an error; otherwise the place is"
        " corrected where the cause is sure (bytes, UTF-16, 3 characters or fewer, NFC or NFD), or the answer left out",
    )
    translated_test: bool = setting(False, "XNLI: dev and test texts machine-translated to English (translate-test)")
    metric: Annotated[str, METRICS] = setting(
        USUAL,
        "the score that epochs, learning rates and the model are chosen by; auto: accuracy of classes and plain tags,"
        " f1 of names and answers, pearson of numbers; or one of your own, as my_metric:score",
    )
    own: OwnTask = setting(default_factory=OwnTask, description="what a task of one's own is read from")

    @property
    def has_questions(self) -> bool:
        """Whether answers are looked for in contexts."""
        return self.own.kind == "span" if self.name == "own" else self.name in QUESTIONS

    def inert(self) -> Collection[str]:
        """What belongs to other tasks, or to the other source; everything but the name, where there is no task."""
        fields = type(self).model_fields.keys()
        if self.name == "none":
            return fields - {"name"}
        found = {"own"} if self.name != "own" else {"folder", "source", "hub_name"}
        found |= {"hub_name"} if self.source == "folder" else {"folder"}
        found |= set() if self.has_questions else {"strict"}
        return found if self.name == "xnli" else found | {"translated_test"}
