"""The server of runs: a list, a page for each run, its report and figures, and nothing else of the machine."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from pipeline.cli import main
from pipeline.errors import UsageError
from pipeline.manifest import FileRecord, Manifest
from pipeline.serve.app import make_app
from pipeline.serve.command import REPORTS_URL, public_host
from pipeline.serve.runs import file_address, file_in, projects_in, read_run


def write_output(folder: Path, stage: str, files: dict[str, str], started: str = "2026-01-02T03:04:05+00:00") -> Path:
    """A complete output with these files: name -> text."""
    output = folder / stage / "0123abcd"
    for name, text in files.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text(text)
    records = {name: FileRecord.of(output / name) for name in files}
    manifest = Manifest(
        stage, 1, "0123abcd" * 8, "b", {}, {}, {}, {"documents": 1234}, records, started, 61.0, 1, warnings=["<odd>"]
    )
    manifest.write(output)
    return output


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    write_output(folder / "demo", "corpus.mine", {"curve.svg": "<svg/>", "de.arrow": "text of the corpus"})
    write_output(folder / "demo", "report", {"report.html": "<h1>The report</h1>"}, "2026-01-02T05:00:00+00:00")
    write_output(folder / "a b", "corpus.mine", {"n.txt": ""})
    (folder / "not-a-run").mkdir()
    (folder / "demo" / ".hidden.html").write_text("hidden")
    (tmp_path / "secret.html").write_text("of another folder")
    (folder / "demo" / "link.html").symlink_to(tmp_path / "secret.html")
    return folder


@pytest.fixture
def client(runs: Path) -> TestClient:
    return TestClient(make_app(runs), base_url="http://127.0.0.1", follow_redirects=False)


def test_runs_are_listed_with_links_that_lead_to_their_reports(client: TestClient) -> None:
    page = client.get("/").text
    assert page.index('href="demo/"') < page.index('href="a%20b/"')  # the newest first
    assert "not-a-run" not in page
    (report,) = re.findall(r'href="(demo/files/[^"]+report.html)"', page)
    assert client.get(f"/{report}").text == "<h1>The report</h1>"


def test_page_of_a_run_shows_its_figures_counts_and_warnings(client: TestClient) -> None:
    page = client.get("/demo/").text
    (figure,) = re.findall(r'<img src="([^"]+)"', page)
    answer = client.get(f"/demo/{figure}")
    assert (answer.text, answer.headers["content-type"]) == ("<svg/>", "image/svg+xml")
    assert "documents 1,234" in page
    assert "1 min 01 s" in page
    assert "&lt;odd&gt;" in page
    assert client.get("/a b/").status_code == 200
    assert client.get("/demo").headers["location"] == "http://127.0.0.1/demo/"
    assert client.get("/nobody/").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "demo/files/corpus.mine/0123abcd/de.arrow",
        "demo/files/.hidden.html",
        "demo/files/link.html",
        "demo/files/../../secret.html",
        "demo/files/%2e%2e/%2e%2e/secret.html",
        "demo/files/..%2f..%2fsecret.html",
        "demo/files//etc/passwd",
        "demo/files/%00.html",
        "../secret.html",
        "..%2fsecret.html/",
        "%2e%2e/",
        "demo/files/corpus.mine",
        "demo/files/",
    ],
)
def test_nothing_but_pages_and_figures_of_runs_is_served(client: TestClient, path: str) -> None:
    answer = client.get(f"/{path}", follow_redirects=True)
    assert answer.status_code == 404
    assert answer.text == "nothing is there\n"


def test_file_in_takes_only_plain_paths(runs: Path) -> None:
    assert file_in(runs, "demo/report/0123abcd/report.html") is not None
    for inner in ("../secret.html", "demo/../demo/report/0123abcd/report.html", "", "demo//x.html", "a\\b.html"):
        assert file_in(runs, inner) is None


def test_pages_load_nothing_of_other_machines_and_other_names_are_refused(runs: Path, client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    named = TestClient(make_app(runs, ["reports.example.org"]), base_url="http://reports.example.org")
    assert named.get("/").status_code == 200


def test_tensorboard_is_linked_to_while_it_listens(runs: Path) -> None:
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        app = make_app(runs, tensorboard=address)
        assert address in TestClient(app, base_url="http://127.0.0.1").get("/").text
        assert address in TestClient(app, base_url="http://127.0.0.1").get("/demo/").text
    assert address not in TestClient(app, base_url="http://127.0.0.1").get("/").text


def test_damaged_manifest_is_said_and_the_others_are_shown(runs: Path, client: TestClient) -> None:
    (runs / "demo" / "corpus.mine" / "0123abcd" / "manifest.json").write_text("{")
    page = client.get("/demo/").text
    assert "damaged: " in page
    assert [output.stage for output in read_run(runs, "demo").outputs] == ["report"]


def test_pages_of_commands_are_found_and_the_newest_report_is_the_report(runs: Path) -> None:
    (runs / "demo" / "report.html").write_text("newer")
    (runs / "demo" / "studies").mkdir()
    (runs / "demo" / "studies" / "alpha.html").write_text("")
    run = read_run(runs, "demo")
    assert run.report == "report.html"
    assert "studies/alpha.html" in run.pages
    assert projects_in(runs) == ["a b", "demo"]


def test_address_of_a_file_is_quoted() -> None:
    assert file_address("https://h/x/", "a b", "report/1/r#.html") == "https://h/x/a%20b/files/report/1/r%23.html"


def test_public_address_has_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REPORTS_URL, "https://reports.example.org/x")
    assert public_host() == "reports.example.org"
    monkeypatch.setenv(REPORTS_URL, "reports")
    with pytest.raises(UsageError, match="no address of a web server"):
        public_host()


def test_command_serves_until_it_is_interrupted(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import signal

    words = [sys.executable, "-m", "pipeline", "serve", str(runs), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split(" is on ")[1].split(",")[0]
            with urllib.request.urlopen(address) as answer:
                assert b"demo" in answer.read()
            port = address.rstrip("/").rpartition(":")[2]
            assert main(["serve", str(runs), "--port", port]) == 1
            assert "give another --port" in capsys.readouterr().err
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
    assert main(["serve", str(runs / "none")]) == 2
