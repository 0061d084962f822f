"""Resolve pyproject.toml with pip and write the exact versions into requirements/.

runtime.txt is what `xlmr` needs; dev.txt, docs.txt and storage.txt add to it the packages of the extras, resolved under
the same versions. No hashes, no index host, no build tag: a lock names versions, a machine's own pip
configuration decides where they come from and which build of them fits it. The CUDA libraries that
torch's default wheel asks for stay out, because its CPU build does without them.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
RUNTIME = ("train", "flows", "beam", "dask", "report", "serve")
"""The extras that `make setup` installs."""
LEFT_TO_TORCH = re.compile(r"^(nvidia-.*|cuda-.*|triton)$")
HEADER = "# {what}. Written by `make lock` from pyproject.toml; do not edit.\n"


def resolved(requirements: list[str], constraints: dict[str, str]) -> dict[str, str]:
    """Return the name and version of every package that pip would install for `requirements`."""
    with tempfile.TemporaryDirectory() as scratch:
        constraint_file = Path(scratch, "constraints.txt")
        constraint_file.write_text(lines(constraints))
        report = Path(scratch, "report.json")
        command = [sys.executable, "-m", "pip", "install", "-qq", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), "--constraint", str(constraint_file), *requirements]
        subprocess.run(command, check=True)
        installed = json.loads(report.read_text())["install"]
    versions = {}
    for package in installed:
        name = re.sub(r"[-_.]+", "-", package["metadata"]["name"]).lower()
        if not LEFT_TO_TORCH.match(name):
            versions[name] = package["metadata"]["version"].partition("+")[0]
    return versions


def lines(versions: dict[str, str]) -> str:
    """Write one `name==version` a line, sorted by name."""
    return "".join(f"{name}=={version}\n" for name, version in sorted(versions.items()))


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    runtime_roots: list[str] = [*project["dependencies"], *(r for name in RUNTIME for r in extras[name])]
    storage_roots = [requirement for name in ("http", "s3") for requirement in extras[name]]

    print("resolving everything together …", flush=True)
    everything = resolved([*runtime_roots, *storage_roots, *extras["dev"], *extras["docs"]], {})
    print("resolving each part under those versions …", flush=True)
    runtime = resolved(runtime_roots, everything)
    dev = resolved([*runtime_roots, *extras["dev"]], everything)
    docs = resolved([*runtime_roots, *extras["docs"]], everything)
    storage = resolved([*runtime_roots, *storage_roots], everything)

    REQUIREMENTS.mkdir(exist_ok=True)
    files = {"runtime.txt": HEADER.format(what="What `xlmr` needs") + lines(runtime)}
    for name, what, versions in (
        ("dev.txt", "What tests and checks add", dev),
        ("docs.txt", "What the site adds", docs),
        ("storage.txt", "What the extras http and s3 add", storage),
    ):
        added = {package: version for package, version in versions.items() if package not in runtime}
        files[name] = HEADER.format(what=what) + "-r runtime.txt\n" + lines(added)
    for name, text in files.items():
        (REQUIREMENTS / name).write_text(text)
        print(f"requirements/{name}: {text.count('==')} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
