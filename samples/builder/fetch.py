"""Brings the pinned packages into a cache folder and unpacks them, with apt-get, dpkg and npm."""

import hashlib
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PINS = Path(__file__).with_name("packages.json")


class PackageError(RuntimeError):
    """A pinned package cannot be had, or is not what it was."""


@dataclass(frozen=True)
class Package:
    """One source package at the version that the committed sample was built from."""

    name: str
    version: str
    kind: Literal["deb", "npm"]
    sha256: str

    @property
    def file_name(self) -> str:
        """The name under which the registry's client saves the package."""
        if self.kind == "npm":
            return f"{self.name}-{self.version}.tgz"
        return f"{self.name}_{self.version.replace(':', '%3a')}_all.deb"


def pinned_packages() -> list[Package]:
    """The packages of packages.json."""
    return [Package(**fields) for fields in json.loads(PINS.read_text())]


def fetch(package: Package, cache: Path) -> Path:
    """The folder that holds the unpacked package; downloads and unpacks what is not there yet."""
    archive = cache / package.file_name
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _download(package, cache)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != package.sha256:
        raise PackageError(f"{archive} is not the pinned file; remove it, and fetch {package.version} again")
    folder = cache / "unpacked" / f"{package.name}-{package.version}"
    if not folder.exists():
        _unpack(package, archive, folder)
    return folder


def _download(package: Package, cache: Path) -> None:
    command = {
        "deb": ["apt-get", "download", "-qq", f"{package.name}={package.version}"],
        "npm": ["npm", "pack", "--silent", f"{package.name}@{package.version}"],
    }[package.kind]
    if subprocess.run(command, cwd=cache, check=False).returncode != 0:
        raise PackageError(
            f"{package.name} {package.version} could not be downloaded. For a Debian package, run "
            "`apt-get update` on Debian 12; a superseded version is kept by Debian's snapshot archive: "
            f"put {package.file_name} into {cache}"
        )


def _unpack(package: Package, archive: Path, folder: Path) -> None:
    unfinished = folder.with_suffix(".part")
    unfinished.mkdir(parents=True, exist_ok=True)
    if package.kind == "deb":
        subprocess.run(["dpkg", "-x", str(archive), str(unfinished)], check=True)
    else:
        with tarfile.open(archive) as tar:
            tar.extractall(unfinished, filter="data")
    unfinished.rename(folder)
