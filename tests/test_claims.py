"""Claims of speed, equality and robustness name the command that measures them, and commands name what is there.

A claim is a sentence, or a row of a table, with a figure of such a kind (``KINDS``). Its section, or one that the
section is a part of, has to have a command that measures, or a link to a section that has one. What a test checks is
claimed by naming the test's file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli import build_app
from pipeline.dag import Dag
from tests.pages import BLOCK, PAGES, ROOT, Section, link_targets, sections

NUMBER = r"\d[\d.,]*"
UNITS = "tokens|examples|records|documents|lines|texts|sequences|steps|shards|characters|M characters|MB"
KINDS = {
    "speed": rf"{NUMBER} ×(?! ?\d)|\b{NUMBER} times (?:as fast|faster|slower)|\b(?:{UNITS})(?:/s\b| (?:a|per) second)",
    "share": rf"{NUMBER} % (?:more|less|fewer|of (?:the )?(?:time|memory|slices|answers|texts)|right|faster)",
    "equality": r"\bbyte for byte\b|\bto the (?:last )?(?:byte|bit|digit)\b|\bthe same (?:bytes|bits|losses|logits)\b"
    rf"|\bequal (?:in|logits|ids)\b|\bidentical\b|\b(?:all|the) {NUMBER} [a-z ]{{0,30}}\b(?:same|equal)\b",
    "robustness": r"\b(?:no|nothing|none|not one) [a-z ]{0,30}\b(?:is|was|were|are) lost\b|\bno traceback\b"
    rf"|\b{NUMBER} (?:times|inputs|files|kills)\b[^.\n]*\b(?:kill|cut|damage|refused|survive)"
    rf"|\bSIGKILL\b[^.\n]*{NUMBER}",
    "measurement": rf"(?i:(?<!not )(?<!not been )(?<!nothing )\b(?:measured|medians? of)\b)[^.\n]*{NUMBER}",
    "memory": rf"\b(?:peak(?:s|ed)?|held|holds|took)\b[^.\n]{{0,60}}?{NUMBER} [kMG]i?B\b",
    "quality": r"(?i:\b(?:loss(?:es)?|accuracy|F1|zero-shot)\b)[^.]*(?<!section )\b\d+\.\d",
    "unrepeatable": r"\bmeasured once\b|\b(?:has no|without a) command\b",
}
TESTS = r"\bpytest\b|\btests/[\w/]+\.py|\bmake (?:test|test-all|lint)\b"
BENCHMARKS = r"\bbenchmarks\.\w+|python -m (?:scripts|samples)\.\w+|xlmr pretrain (?:benchmark|plan)\b"
RUNS = (
    r"\bmake (?:demo|studies)\b|xlmr (?:run|study|report|pretrain (?:retrieval|train)|corpus (?:lid-report|reproduce)"
    r"|finetune (?:task|table)|tokenizer (?:compare|study))\b"
)
MEASURES = {
    "speed": f"{TESTS}|{BENCHMARKS}",
    "share": f"{TESTS}|{BENCHMARKS}|{RUNS}",
    "equality": f"{TESTS}|{BENCHMARKS}|{RUNS}",
    "robustness": f"{TESTS}|{BENCHMARKS}",
    "measurement": f"{TESTS}|{BENCHMARKS}|{RUNS}",
    "memory": f"{TESTS}|{BENCHMARKS}",
    "quality": f"{TESTS}|{BENCHMARKS}|{RUNS}",
    "unrepeatable": r"(?!)",  # nothing: such a figure is measured by a command, or is not on the page
}
"""Commands that print such figures, or fail where things differ, and files of tests. ``xlmr init`` measures nothing."""
ABOUT = [ROOT / "README.md", *(page for page in PAGES if ROOT / "docs" in page.parents)]


def code_of(text: str) -> str:
    """What stands in blocks of code and in backticks."""
    blocks = [match[0] for match in BLOCK.finditer(text)]
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))])


def statements(section: Section) -> Iterator[str]:
    """Its sentences, and its tables, each with the sentence before it."""
    before = ""
    for paragraph in re.split(r"\n\s*\n", section.prose.strip()):
        if paragraph.startswith("|"):
            yield f"{before.rstrip('.:')} {paragraph}"
        else:
            found = re.split(r"(?<=[.!?])\s+|\n\s*[-*] |\n\d+\. ", paragraph)
            yield from found
            before = found[-1]


def claims_of(section: Section) -> Iterator[tuple[str, str]]:
    """(kind, the words around it) of what in a section claims a figure."""
    for statement in statements(section):
        for kind, pattern in KINDS.items():
            if found := re.search(pattern, statement):
                yield kind, " ".join(statement[max(0, found.start() - 60) : found.end() + 60].split())


def measures(section: Section, kind: str) -> bool:
    """Whether it, or a section around it below the page's title, names a command that measures such a claim."""
    around: Section | None = section
    while around is not None:
        if re.search(MEASURES[kind], code_of(around.text)):
            return True
        around = around.above if around.above and around.above.level > 1 else None
    return False


def has_proof(page: Path, section: Section, kind: str) -> bool:
    """Whether a reader finds the command: in the section, or in one that it links to by its heading."""
    linked_pages = [one for one in link_targets(page, section.text) if one[0] in PAGES]
    linked = [one for target, anchor in linked_pages for one in sections(target) if one.anchor == anchor]
    return any(measures(one, kind) for one in (section, *linked))


def unproved(page: Path) -> list[str]:
    """The claims of a page without a command."""
    return [
        f"{section.heading}: {kind}: {claim}"
        for section in sections(page)
        for kind, claim in claims_of(section)
        if not has_proof(page, section, kind)
    ]


@pytest.mark.parametrize("page", ABOUT, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_claim_names_the_command_that_measures_it(page: Path) -> None:
    """Name the command in the claim's section, link to the heading that has it, or take the figure out."""
    assert unproved(page) == []


PLANTED = {
    "speed": "Reading is 3.1 × as fast as theirs.",
    "share": "This takes 27 % less memory.",
    "equality": "Two machines write the same bytes.",
    "robustness": "After 40 kills, no record was lost: none of 2,000 files was damaged.",
    "measurement": "Measured on a laptop: 12 seconds.",
    "memory": "A worker held 1.4 GB.",
    "quality": "| | accuracy |\n| --- | --- |\n| ours | 0.83 |",
}


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize(
    ("proof", "is_proof"),
    [
        ("", False),
        ("`xlmr init my.yaml` begins it.", False),
        ("It is in a script, python -m benchmarks.corpus.", False),  # not written as a command
        ("[Elsewhere](README.md#what-to-read-next) is more.", False),
        ("`python -m benchmarks.corpus` prints it.", True),
        ("```sh\npython -m pytest tests/corpus\n```", True),
        ("[Measured](README.md#measured) has the command.", True),
    ],
)
def test_a_planted_claim_needs_a_command(kind: str, proof: str, is_proof: bool) -> None:
    page = ROOT / "planted.md"
    section = Section(2, "Planted", f"{PLANTED[kind]}\n\n{proof}\n")
    assert kind in [found for found, _ in claims_of(section)]
    assert has_proof(page, section, kind) == is_proof


@pytest.mark.parametrize(
    "text",
    [
        "Batches have 8,192 × 512 tokens, for 1,500,000 steps.",
        "`tensor_parallel` ranks share each matrix. This was not measured on 8 GPUs.",
        "The threshold is 0.5, and `warmup_steps` are 6 % of the steps.",
        "A killed run resumes with the same command.",
        "```console\n$ xlmr run demo.yaml\nloss 6.1, 2,000 tokens/s\n```",
    ],
)
def test_what_is_no_claim(text: str) -> None:
    assert list(claims_of(Section(2, "Plain", text))) == []


def test_a_figure_of_which_the_page_says_that_nothing_measures_it_is_found() -> None:
    section = Section(2, "Planted", "It took 12 s (measured once; `python -m benchmarks.corpus` measures another).")
    assert [kind for kind, _ in claims_of(section) if not has_proof(ROOT / "planted.md", section, kind)] == [
        "unrepeatable"
    ]


TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
FOLDERS = ("benchmarks", "configs", "corpus", "finetune", "flows", "infra", "pipeline", "pretrain", "samples")
FOLDERS = (*FOLDERS, "scripts", "tests", "tokenizer")
WITH_COMMANDS = [page for page in PAGES if page.name != "CHANGELOG.md"]  # whose earlier versions had other commands


def missing_commands(folder: Path, text: str) -> Iterator[str]:
    """What the commands and paths of a page name and neither the repository nor the page's folder has."""
    code = code_of(text)
    for target in re.findall(r"^(?:@?make) ([a-z-]+)", code, re.MULTILINE):
        if target not in TARGETS:
            yield f"make {target}"
    for module in re.findall(r"python -m ([\w.]+)", code):
        path = ROOT / module.replace(".", "/")
        if module.partition(".")[0] in FOLDERS and not (path.with_suffix(".py").exists() or path.is_dir()):
            yield f"python -m {module}"
    folders = "|".join(FOLDERS)
    for path in re.findall(
        rf"(?<![\w./{{}}-])((?:{folders})/[\w./-]+\.(?:py|yaml|sh|sbatch|tsv|json|toml|md))\b", code
    ):
        if not ((ROOT / path).exists() or (folder / path).exists()):
            yield path
    dag = Dag.default()
    app, packages = build_app(dag), {package.name for package in dag.packages}
    for name, below in re.findall(r"(?:^|\$ |bin/)xlmr ([a-z-]+)(?: ([a-z-]+))?", code, re.MULTILINE):
        if name not in app or (name in packages and below and below not in app[name]):
            yield f"xlmr {name} {below}"


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_name_what_is_there(page: Path) -> None:
    assert list(missing_commands(page.parent, page.read_text(encoding="utf-8"))) == []


def test_a_command_that_is_not_there_is_found() -> None:
    text = """Run `make demo`, `make dmo`, `python -m benchmarks.corpus` or `tests/pages.py`.

```sh
python -m benchmarks.corpora x
xlmr run configs/demo.yaml
.venv/bin/xlmr corpus identfy x
python -m pytest tests/corpus/test_nothing.py
```
"""
    missing = ["make dmo", "python -m benchmarks.corpora", "tests/corpus/test_nothing.py", "xlmr corpus identfy"]
    assert list(missing_commands(ROOT, text)) == missing
