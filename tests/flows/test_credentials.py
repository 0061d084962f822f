"""Credentials that a run is given as the documentation says, and uses, are nowhere afterwards."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from file_server import FileServer, basic, serving
from prefect_service import BESIDE, ROOT, PrefectService
from s3_server import S3Server

pytestmark = pytest.mark.slow

PLANTED = "pLaNtEd7Credential"
CRAWL = "shard-00000.warc.wet.gz"
TRACKERS = ("WANDB_API_KEY", "HF_TOKEN", "MLFLOW_TRACKING_PASSWORD")


@pytest.fixture
def storage() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def files() -> Iterator[FileServer]:
    with serving(ROOT / "samples" / "crawl" / CRAWL) as server:
        server.password = PLANTED
        yield server


def objects(storage: S3Server, bucket: str) -> dict[str, bytes]:
    """All that the storage holds."""
    filesystem = bucket_of(storage)
    return {name: filesystem.cat_file(name) for name in filesystem.find(bucket)}


def bucket_of(storage: S3Server) -> Any:
    """The storage as a file system of its own."""
    import s3fs

    return s3fs.S3FileSystem(key="any", secret="any", endpoint_url=storage.url, skip_instance_cache=True)


def test_credentials_of_a_run_are_used_and_stored_nowhere(
    service: PrefectService, storage: S3Server, files: FileServer, tmp_path: Path
) -> None:
    bucket_of(storage).mkdir("credentials")
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {PLANTED}\n")
    (tmp_path / "netrc").chmod(0o600)
    keep_as_secret(service, "planted", PLANTED)
    secret = "{{ prefect.blocks.secret.planted }}"
    environment = {
        **storage.environment(),
        **dict.fromkeys(("AWS_SECRET_ACCESS_KEY", *TRACKERS), secret),
        "NETRC": str(tmp_path / "netrc"),
    }
    overrides = ["run.directory=s3://credentials/runs", f"corpus.fetch.crawl={files.address(CRAWL)}"]
    stages = ["corpus.fetch", "corpus.hash", "toy.write", "toy.sum", "toy.power"]
    run = service.submit(BESIDE, {"env": environment}, stages=stages, project="credentials", overrides=overrides)
    service.ended_as(run, "Completed")
    write_report(service, {**environment, "AWS_SECRET_ACCESS_KEY": PLANTED}, overrides)

    stored = {str(path): path.read_bytes() for path in service.folder.rglob("*") if is_file(path)}
    at_storage = objects(storage, "credentials")
    assert [name for name in stored if name.endswith("prefect.db")]
    assert [name for name in at_storage if name.endswith("/manifest.json")]
    assert [name for name in at_storage if name.endswith("report.html")]
    forms = [PLANTED.encode(), base64.b64encode(PLANTED.encode()), basic(PLANTED).split()[1].encode()]
    found = [name for name, content in {**stored, **at_storage}.items() if any(form in content for form in forms)]
    assert found == []


def keep_as_secret(service: PrefectService, name: str, value: str) -> None:
    """As a Secret block of the server, which encrypts it."""
    from prefect.blocks.system import Secret
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: service.api}):
        Secret(value=value).save(name, overwrite=True)


def write_report(service: PrefectService, environment: dict[str, str], overrides: list[str]) -> None:
    """The page of the run, beside its outputs."""
    words = ["--run.project=credentials", *(f"--{one}" for one in overrides)]
    command = [sys.executable, "-m", "pipeline", "report", "configs/demo.yaml", *words]
    subprocess.run(
        command, cwd=service.folder, env={**service.environment, **environment}, check=True, capture_output=True
    )


def is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
