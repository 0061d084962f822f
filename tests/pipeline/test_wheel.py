"""The package as people install it: a wheel in an empty environment, away from the checkout, without its extras."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from corpus_crawl import wet_file, wet_record
from language_models import clean_text, train_models

from pipeline.errors import XlmrError
from pipeline.extras import EXTRAS, check_extra, explain_missing
from pipeline.manifest import read_manifest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pipeline", "corpus", "tokenizer", "pretrain", "finetune", "flows")


def run(*words: str | Path, cwd: Path, code: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([*map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The bin folder of an environment that holds the wheel and what it asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(lambda name: name.startswith((*PACKAGES, "pyproject", "README", "LICENSE", "NOTICE")), tracked):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    lock = ROOT / "requirements" / "runtime.txt"
    run(python, "-m", "pip", "--disable-pip-version-check", "-q", "install", "-c", lock, wheel, cwd=folder)
    return python.parent


@pytest.mark.slow
def test_the_wheel_alone_reads_a_crawl(installed, tmp_path):
    languages = {
        "en": "All human beings are born free and equal in dignity and rights. Number {} says so again. ",
        "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Das sagt auch Nummer {}. ",
    }
    pages = [wet_record(n, f"Title {n}\n" + text.format(n) * 8) for n, text in enumerate([*languages.values()] * 9)]
    wet_file(tmp_path / "crawl.warc.wet.gz", *pages)
    (tmp_path / "run.yaml").write_text("run: {project: own}\ncorpus:\n  fetch: {crawl: crawl.warc.wet.gz}\n")
    xlmr = installed / "xlmr"
    assert "0.1.0" in run(xlmr, "--version", cwd=tmp_path)
    assert "corpus.hash" in run(xlmr, "plan", "run.yaml", "--run.until", "corpus.duplicates", cwd=tmp_path)
    said = run(xlmr, "run", "run.yaml", "--until", "corpus.duplicates", cwd=tmp_path)
    assert "corpus.duplicates" in said
    assert "duplicates 5" in run(xlmr, "status", cwd=tmp_path)
    answers = run(xlmr, "corpus", "identify", "run.yaml", cwd=tmp_path)
    assert answers.strip()


@pytest.mark.slow
def test_a_configuration_of_own_files_is_made_with_the_wheel(installed, tmp_path):
    xlmr = installed / "xlmr"
    (tmp_path / "crawl").mkdir()
    (tmp_path / "crawl" / "pages.jsonl").write_text('{"text": "All human beings are born free."}\n')
    (tmp_path / "en.txt").write_text("All human beings are born free.\n")
    run(xlmr, "init", "own.yaml", "--crawl", "crawl", "--languages", "en", "--clean-text", "*.txt", cwd=tmp_path)
    assert "corpus.regroup" in run(xlmr, "plan", "own.yaml", cwd=tmp_path)


@pytest.mark.slow
def test_the_doctor_finds_what_a_bare_environment_lacks(installed, tmp_path):
    (tmp_path / "c++").symlink_to("/bin/true")  # whether this machine has a compiler does not count
    shown = run("env", f"PATH={tmp_path}", installed / "xlmr", "doctor", cwd=tmp_path, code=1)
    lines = {
        line[9:].split("  ")[0]: line for line in shown.splitlines() if line[:7].strip() in {"ok", "missing", "absent"}
    }
    assert all(lines[name].startswith("ok") for name in ("Python", "packages", "language identifier", "C++ compiler"))
    assert lines["lmplz"].startswith("missing")
    assert lines["lmplz"].endswith("xlmr setup-kenlm")
    assert lines["torch"].startswith("absent")
    assert lines["extra train"].endswith("pip install 'xlmr-pipeline[train]'")
    assert "missing: lmplz, build_binary" in shown


@pytest.mark.slow
def test_the_corpus_takes_a_users_rule_step_and_identifier_with_the_wheel(installed, tmp_path):
    text = clean_text("en", 0, 200)
    pages = ["\n".join([f"Title {n}", *text[n : n + 20]]) for n in range(0, 200, 20)]
    menu = "Title\n" + "\n".join(f"menu of the site {'x' * n}" for n in range(20))
    wet_file(tmp_path / "crawl.warc.wet.gz", *(wet_record(n, page) for n, page in enumerate([*pages, menu])))
    models = train_models(tmp_path, {"en": "\n".join(text)})
    for path in (ROOT / "tests" / "corpus" / "examples").glob("*.py"):
        shutil.copy(path, tmp_path)
    (tmp_path / "run.yaml").write_text(
        "run: {project: own}\ncorpus:\n  fetch: {crawl: crawl.warc.wet.gz}\n"
        f"  language_models: {{folder: {models}}}\n"
        "  filters: {own: [my_rules:no_dots]}\n"
        "  language_id: {identifier: my_identifier:identify}\n"
        "  mine: {steps: [deduplicate, identify, my_steps:no_menus, filter, score, write]}\n"
    )
    run("env", f"PYTHONPATH={tmp_path}", installed / "xlmr", "run", "run.yaml", "--until", "corpus.mine", cwd=tmp_path)
    (output,) = (tmp_path / "runs" / "own" / "corpus.mine").iterdir()
    manifest = read_manifest(output)
    assert manifest is not None
    assert manifest.counts["languages"].keys() == {"en"}
    assert manifest.counts["dropped"]["no_dots: no line ends in a full stop"]["documents"] == 1
    assert {Path(path).name for path in manifest.outside} == {"my_rules.py", "my_steps.py", "my_identifier.py"}


@pytest.mark.slow
def test_a_users_package_and_executor_run_with_the_wheel(installed, tmp_path):
    wet_file(
        tmp_path / "crawl.warc.wet.gz", *(wet_record(n, f"Title {n}\n" + "A line of text. " * 30) for n in range(3))
    )
    shutil.copytree(ROOT / "tests" / "pipeline" / "examples", tmp_path, dirs_exist_ok=True)
    (tmp_path / "run.yaml").write_text(
        "run: {project: own, executor: 'my_executor:OneByOne'}\n"
        "corpus: {fetch: {crawl: crawl.warc.wet.gz}}\ngreetings: {greet: {name: you}}\n"
    )
    xlmr = ("env", f"PYTHONPATH={tmp_path}", "XLMR_PACKAGES=greetings", installed / "xlmr", "run", "run.yaml")
    assert "shard shard-00000" in run(*xlmr, "--until", "corpus.hash", cwd=tmp_path)
    run(*xlmr, "--only", "greetings.greet", cwd=tmp_path)
    (greeting,) = (tmp_path / "runs" / "own" / "greetings.greet").glob("*/greeting.txt")
    assert greeting.read_text() == "hello you\n"


@pytest.fixture
def with_torch(installed) -> Iterator[Path]:
    """The same environment, to which the libraries of training are lent by the one that runs the tests."""
    (site,) = (installed.parent / "lib").glob("python3*/site-packages")
    lent = site / "lent.pth"
    lent.write_text(sysconfig.get_path("purelib") + "\n")
    yield installed
    lent.unlink()


@pytest.mark.slow
def test_a_users_masks_shares_layer_and_tracker_train_with_the_wheel(with_torch, tmp_path):
    text = clean_text("en", 0, 200)
    pages = ["\n".join([f"Title {n}", *text[n : n + 20]]) for n in range(0, 200, 20)]
    wet_file(tmp_path / "crawl.warc.wet.gz", *(wet_record(n, page) for n, page in enumerate(pages)))
    for path in (ROOT / "tests" / "pretrain" / "examples").glob("*.py"):
        shutil.copy(path, tmp_path)
    (tmp_path / "run.yaml").write_text(
        f"run: {{project: own}}\ncorpus:\n  fetch: {{crawl: crawl.warc.wet.gz}}\n"
        f"  language_models: {{folder: {train_models(tmp_path, {'en': chr(10).join(text)})}}}\n"
        "tokenizer:\n  train: {vocab_size: 120}\n  encode: {sequence_length: 16, validation_share: 0.2}\n"
        "pretrain:\n  model: {num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, intermediate_size: 16,\n"
        "          max_position_embeddings: 18, layer: 'my_layer:ParallelLayer'}\n"
        "  data: {masking: 'my_masking:one_run', mixing: 'my_mixing:capped'}\n"
        "  train: {steps: 2, global_batch: 2, micro_batch: 2, warmup_steps: 1, trackers: ['my_tracker:LogFile']}\n"
    )
    xlmr = ("env", f"PYTHONPATH={tmp_path}", with_torch / "xlmr")
    run(*xlmr, "run", "run.yaml", "--until", "pretrain.train", cwd=tmp_path)
    assert [line.split()[0] for line in (tmp_path / "losses.txt").read_text().splitlines()] == ["1", "2", "2"]
    (output,) = (path for path in (tmp_path / "runs" / "own" / "pretrain.train").iterdir() if path.is_dir())
    assert {Path(path).name for path in read_manifest(output).outside} == {
        "my_masking.py",
        "my_mixing.py",
        "my_layer.py",
    }
    refused = run(*xlmr, "run", "run.yaml", "--until", "pretrain.export", cwd=tmp_path, code=1)
    assert "which Hugging Face's layout has no place for; add --until pretrain.train" in refused


@pytest.mark.slow
def test_a_users_reader_and_metric_fine_tune_with_the_wheel(with_torch, tmp_path):
    import_module("tests.finetune.tiny_encoder").write_encoder(tmp_path / "encoder")
    for path in (ROOT / "tests" / "finetune" / "examples").glob("*.py"):
        shutil.copy(path, tmp_path)
    (tmp_path / "texts.txt").write_text("calc: a cell\ncalc: a row\ncalc: the cells\nwriter: a page\n")
    (tmp_path / "run.yaml").write_text(
        "run: {project: own, workers: 1}\nfinetune:\n  encoder: {folder: encoder}\n"
        "  task: {name: own, metric: 'my_metric:balanced_accuracy',\n"
        "         own: {format: 'my_reader:read', train: texts.txt, dev: texts.txt, test: texts.txt}}\n"
        "  recipe: {longest: 16, batch: 4, epochs: 1, dtype: fp32}\n"
        "  protocol: {seeds: [1], initialisations: [pretrained]}\n"
    )
    xlmr = ("env", f"PYTHONPATH={tmp_path}", with_torch / "xlmr")
    run(*xlmr, "run", "run.yaml", "--only", "finetune.task", cwd=tmp_path)
    (output,) = (path for path in (tmp_path / "runs" / "own" / "finetune.task").iterdir() if path.is_dir())
    results = json.loads((output / "results.json").read_text())
    assert (results["metric"], results["labels"]) == ("balanced_accuracy", ["calc", "writer"])


@pytest.mark.slow
def test_what_needs_an_extra_names_it(installed, tmp_path):
    (tmp_path / "run.yaml").write_text("run: {project: own}\n")
    xlmr = installed / "xlmr"
    line = run(xlmr, "pretrain", "benchmark", cwd=tmp_path, code=1)
    assert "pip install 'xlmr-pipeline[train]'" in line
    line = run(xlmr, "run", "run.yaml", "--run.executor", "beam", cwd=tmp_path, code=1)
    assert "run.executor: beam needs apache_beam, which is not installed" in line


@pytest.mark.slow
def test_every_package_says_that_it_is_typed(installed):
    (site,) = (installed.parent / "lib").glob("python3*/site-packages")
    assert all((site / package / "py.typed").is_file() for package in PACKAGES)
    assert (site / "corpus" / "language" / "models" / "own.ftz").is_file()
    assert (site / "pipeline").is_dir()


def test_extras_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert extras.keys() - {"dev", "docs", "all"} == EXTRAS.keys()
    roots = {word.split("[")[0].split("=")[0].split("<")[0].split(">")[0] for word in project["dependencies"]}
    assert not roots & {"torch", "deepspeed", "prefect", "apache-beam", "jinja2", "matplotlib"}


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("pipeline.extras.find_spec", lambda name: None if name == "deepspeed" else True)
    with pytest.raises(XlmrError, match=r"^pretrain.train needs deepspeed, .*xlmr-pipeline\[train\]"):
        check_extra("train", "pretrain.train")
    check_extra("report", "report")
    found = explain_missing(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))
    assert found is not None
    assert "xlmr-pipeline[train]" in str(found)
    assert explain_missing(ModuleNotFoundError("No module named 'x'", name="x")) is None
