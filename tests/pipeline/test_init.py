"""``xlmr init``: the file that it writes loads, says what each setting is, and ``xlmr plan`` works on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.dag import Dag
from pipeline.errors import UsageError
from pipeline.init import first_settings, write_configuration
from pipeline.settings_list import list_settings

DAG = Dag.default()


@pytest.fixture
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "crawl").mkdir()
    (tmp_path / "crawl" / "page.jsonl").write_text('{"text": "words"}\n')
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "de.txt").write_text("Worte\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("until", ["corpus.duplicates", "corpus", "tokenizer", "pretrain"])
def test_plan_works_on_the_written_file(own_files: Path, capsys: pytest.CaptureFixture[str], until: str) -> None:
    clean = ["--clean-text", "clean"] if until != "corpus.duplicates" else []
    words = ["--crawl", "crawl", "--languages", "de,no", "--directory", "out", "--until", until, *clean]
    assert main(["init", "own.yaml", *words]) == 0
    assert capsys.readouterr().out == "own.yaml\n"
    assert main(["plan", "own.yaml"]) == 0
    assert DAG.select(until)[-1] in capsys.readouterr().out
    loaded = DAG.load_config(Path("own.yaml")).model_dump()
    assert loaded["run"]["project"] == "own"
    assert str(loaded["run"]["directory"]) == "out"
    assert loaded["corpus"]["fetch"]["crawl"] == "crawl"
    if until != "corpus.duplicates":
        assert loaded["corpus"]["mine"]["languages"] == ("de", "no")
    text = Path("own.yaml").read_text()
    assert ("pretrain:" in text) == (until == "pretrain")
    assert "  fetch:\n    # WET or WARC files" in text


def test_a_setting_of_the_user_is_written_with_its_description(own_files: Path) -> None:
    words = ["--crawl=crawl", "--clean-text=clean", "--corpus.language_id.threshold", "0.7"]
    write_configuration(DAG, Path("own.yaml"), words, None)
    lines = Path("own.yaml").read_text().splitlines()
    number = lines.index("    threshold: 0.7")
    assert lines[number - 1].startswith("    # ")


@pytest.mark.parametrize("asked", [(), ("--corpus.language_id.threshold", "0.7")])
def test_languages_have_the_codes_that_identify_prints(own_files: Path, asked: tuple[str, ...]) -> None:
    write_configuration(DAG, Path("own.yaml"), ["--crawl=crawl", "--languages=ha,zh-Hans", *asked], None)
    loaded = DAG.load_config(Path("own.yaml")).model_dump()["corpus"]["language_id"]
    assert (loaded["labels"], loaded["own_model"]) == ("cc100", "built-in")


@pytest.mark.parametrize("other", [("model", "other.bin"), ("labels", "as_they_are")])
def test_another_identifier_is_left_as_it_is_named(own_files: Path, other: tuple[str, str]) -> None:
    write_configuration(DAG, Path("own.yaml"), ["--crawl=crawl", f"--corpus.language_id.{other[0]}={other[1]}"], None)
    loaded = DAG.load_config(Path("own.yaml")).model_dump()["corpus"]["language_id"]
    assert (loaded["labels"], loaded["own_model"]) == ("as_they_are", "")


def test_questions_are_asked_for_what_is_not_given(own_files: Path) -> None:
    answers = {"your text": "crawl", "languages": "de", "clean text": "clean"}
    asked = []

    def ask(question: str) -> str:
        asked.append(question)
        return next((answer for word, answer in answers.items() if word in question), "")

    write_configuration(DAG, Path("own.yaml"), ["--project", "mine", "--until", "corpus"], ask)
    assert [question.split("?")[0].split(" (")[0] for question in asked] == [
        "Folder of all runs",
        "Where is your text",
        "Codes of the languages to keep, as de,fr",
        "Where is clean text for the language models",
    ]
    assert DAG.load_config(Path("own.yaml")).model_dump()["corpus"]["language_models"]["text"] == "clean"


def test_a_wrong_answer_is_asked_for_again(own_files: Path) -> None:
    answers = {
        "Name of the run": ["two words", "mine"],
        "Folder of all runs": [""],
        "Stage or package": ["corpse", "pretrain"],
        "Where is your text": ["", "crawl"],
        "Codes of the languages": ["q9", "de"],
        "clean text": ["clean"],
        "vocabulary": ["-1", ""],
        "Size of the model": ["bse", "base"],
        "Steps": ["many", "200"],
    }
    problems = []

    def ask(question: str) -> str:
        *said, question = question.splitlines()
        problems.extend(said)
        return next(given for word, given in answers.items() if word in question).pop(0)

    write_configuration(DAG, Path("own.yaml"), [], ask)
    assert not any(answers.values()), "every answer was asked for"
    for problem, text in zip(
        problems,
        ["run.project", "did you mean corpus?", "an answer is needed", "languages", "vocab_size", "base?", "steps"],
        strict=True,
    ):
        assert text in problem
    train = DAG.load_config(Path("own.yaml")).model_dump()["pretrain"]["train"]
    assert (train["steps"], train["warmup_steps"]) == (200, 12)
    assert [path.name for path in own_files.iterdir() if "own.yaml" in path.name] == ["own.yaml"]


def test_no_question_follows_a_wrong_option(own_files: Path) -> None:
    with pytest.raises(UsageError, match=r"pretrain\.train\.steps"):
        write_configuration(DAG, Path("own.yaml"), ["--steps", "many"], pytest.fail)


@pytest.mark.parametrize(("steps", "warmup"), [("1", 0), ("200", 12), ("12500", 750)])
def test_the_warm_up_is_a_share_of_the_steps(own_files: Path, steps: str, warmup: int) -> None:
    words = ["--crawl", "crawl", "--clean-text", "clean", "--languages", "de", "--until", "pretrain", "--steps", steps]
    write_configuration(DAG, Path("own.yaml"), words, None)
    assert DAG.load_config(Path("own.yaml")).model_dump()["pretrain"]["train"]["warmup_steps"] == warmup


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "--crawl is not given"),
        (["--crawl", "crawl", "--clean-text", "clean", "--languages", "q9"], "own.yaml: corpus: mine.languages: "),
        (["--crawl", "crawl", "--until", "corpse"], "corpse: no such stage"),
        (["--crwl", "crawl"], "crwl"),
    ],
)
def test_a_wrong_answer_leaves_no_file(own_files: Path, words: list[str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        write_configuration(DAG, Path("own.yaml"), words, None)
    assert not [path.name for path in own_files.iterdir() if "own.yaml" in path.name]


def test_an_existing_file_is_not_written_over(own_files: Path) -> None:
    Path("own.yaml").write_text("run: {project: old}\n")
    with pytest.raises(UsageError, match=r"own\.yaml: is there already"):
        write_configuration(DAG, Path("own.yaml"), ["--crawl", "crawl", "--clean-text", "clean"], None)
    assert "old" in Path("own.yaml").read_text()


def test_what_packages_offer_are_settings_and_stages() -> None:
    offered = first_settings(DAG, "")
    names = {one.name for group in list_settings(DAG.config_model) for one in group.settings}
    assert {first.name for first in offered} <= names
    assert {first.stage for first in offered if first.stage} <= DAG.stages.keys()
    flags = [first.flag for first in offered if first.flag]
    assert len(flags) == len(set(flags))
    assert all(bool(first.flag) == bool(first.question) for first in offered)
