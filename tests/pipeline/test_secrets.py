"""Secrets: refused wherever a setting can be given, and found nowhere afterwards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.errors import UsageError, XlmrError
from pipeline.run_settings import folder_or_address
from pipeline.secrets import SECRET_WORDS, find_secret, is_secret_name, redact

PLANTED = "pLaNtEd7Value"
PLACES = [
    ("toy.numbers.file", f"https://me:{PLANTED}@h.example/x", "FSSPEC_HTTPS"),
    ("toy.numbers.file", f"https://h.example/x?se=1&sig={PLANTED}", "FSSPEC_HTTPS"),
    ("toy.numbers.file", f"s3://key:{PLANTED}/x@bucket/x", "AWS_SECRET_ACCESS_KEY"),
    ("toy.numbers.file", f"simplecache::s3://b/x?X-Amz-Signature={PLANTED}", "AWS_SECRET_ACCESS_KEY"),
    ("run.directory", f"abfs://a:{PLANTED}@account/runs", "AZURE_STORAGE_ACCOUNT_KEY"),
    ("run.beam.options", f"--s3_secret_access_key={PLANTED}", "the variables that the runner reads"),
    ("run.beam.options", f"--experiments=a,password={PLANTED}", "the variables that the runner reads"),
    ("run.workers", f"http://{PLANTED}@h.example", "FSSPEC_HTTP"),
    ("toy.own.api_key", PLANTED, "as API_KEY"),
    ("toy.password", PLANTED, "as PASSWORD"),
    ("tracker.token", PLANTED, "WANDB_API_KEY"),
]  # fmt: skip
HOW = ["file", "command line", "environment"]


def files_with(folder: Path) -> list[Path]:
    """The files below a folder whose bytes hold the planted value."""
    return [path for path in folder.rglob("*") if path.is_file() and PLANTED.encode() in path.read_bytes()]


def give(toy, monkeypatch: pytest.MonkeyPatch, how: str, name: str, value: str) -> list[str]:
    """Give the setting in one of the ways; the words for the command line."""
    if how == "command line":
        return [f"--{name}", value]
    if how == "environment":
        monkeypatch.setenv("XLMR_" + name.replace(".", "__").upper(), value)
    else:
        sections, leaf = name.split(".")[:-1], name.rsplit(".", maxsplit=1)[-1]
        text = "".join("  " * depth + f"{one}:\n" for depth, one in enumerate(sections))
        toy.yaml.write_text(text + "  " * len(sections) + f"{leaf}: '{value}'\n")
    return []


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("name", "value", "instead"), PLACES)
def test_secret_is_refused_with_what_to_use_instead(toy, monkeypatch, how, name, value, instead):
    words = give(toy, monkeypatch, how, name, value)
    with pytest.raises(UsageError, match="holds a secret") as caught:
        toy.config(*words)
    line = str(caught.value)
    assert f"{toy.yaml if how == 'file' else how}: {name}: " in line
    assert instead in line
    assert PLANTED not in line
    assert "\n" not in line


@pytest.mark.parametrize("how", HOW)
def test_planted_secret_is_nowhere_after_a_run(toy, monkeypatch, tmp_path, capfd, how):
    monkeypatch.setattr("pipeline.cli.Dag.default", lambda: toy.dag)
    words = ["run", str(toy.yaml)]
    assert main(words) == 0
    before = toy.yaml.read_text()
    given = give(toy, monkeypatch, how, "toy.numbers.file", f"https://me:{PLANTED}@h.example/x")
    for more in ([], ["--debug"]):
        assert main([*words, *given, *more]) == 2
    toy.yaml.write_text(before)
    assert files_with(tmp_path) == []
    assert PLANTED not in "".join(capfd.readouterr())


@pytest.mark.parametrize("kind", [ConnectionError, RuntimeError, XlmrError])
def test_secret_in_an_error_of_a_client_is_nowhere(toy, monkeypatch, tmp_path, capfd, kind):
    def fail(*_):
        raise kind(f"403 for https://me:{PLANTED}@h.example/x?X-Amz-Signature={PLANTED}")

    monkeypatch.setattr("toy_package.add", fail)
    monkeypatch.setattr("pipeline.cli.Dag.default", lambda: toy.dag)
    for more in ([], ["--debug"]):
        assert main(["run", str(toy.yaml), *more]) == 1
    said = "".join(capfd.readouterr())
    assert "403 for https://***@h.example/x?X-Amz-Signature=***" in said
    assert PLANTED not in said
    assert list(tmp_path.rglob("*.jsonl"))
    assert files_with(tmp_path) == []


def test_file_that_is_no_yaml_is_not_quoted(toy):
    for text in (f"toy: {{password: {PLANTED}", f"password: *{PLANTED}", f"a: [{PLANTED}: b: c"):
        toy.yaml.write_text(text)
        with pytest.raises(UsageError, match=r"not readable as YAML .* in line 1") as caught:
            toy.config()
        assert PLANTED not in str(caught.value)


def test_words_and_addresses_of_commands_are_not_quoted(toy):
    with pytest.raises(UsageError, match=r"--token=\*\*\*: not understood") as caught:
        toy.config(f"--token={PLANTED}")
    assert PLANTED not in str(caught.value)
    with pytest.raises(UsageError, match="AWS_ACCESS_KEY_ID") as caught:
        folder_or_address(f"s3://a:{PLANTED}@bucket/runs")
    assert PLANTED not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    ["tcp://host:8786", "http://host:80/a@b", "abfs://box@account.dfs.core.windows.net/x", "s3://bucket/runs",
     "https://h/x?page=2", "--parallelism=64", "--dataflow_kms_key=projects/p/keys/k", "a@b.example"],
)  # fmt: skip
def test_what_holds_no_secret_is_taken(value):
    assert list(find_secret({"a": {"b": [value], "tokens": 5, "key": None}})) == []
    assert redact(value) == value


def test_names_of_secrets():
    for name in ("key", "api_key", "apiKey", "X-Amz-Signature", "AWSAccessKeyId", "sig", "db_password", "HF_TOKEN"):
        assert is_secret_name(name)
    for name in ("tokenizer", "max_tokens", "keys", "mask_token", "monkey", "design", "sort_key"):
        assert not is_secret_name(name)


def test_forms_refuse_secrets_before_they_are_stored():
    for name, value, _ in PLACES:
        assert re.search(SECRET_WORDS, f"{name}={value}"), name
        assert re.search(SECRET_WORDS, f"run.workers=2\n{name}={value}"), "nor in a second line"
    for text in ("corpus.read.min_characters=200", "pretrain.train.steps 7", "run.dask.scheduler=tcp://host:8786",
                 "tokenizer.train.vocab_size=8000", "corpus.mine.languages=['sw','en']"):  # fmt: skip
        assert not re.search(SECRET_WORDS, text)
