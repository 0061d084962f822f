"""What ``xlmr --version`` prints: the version, the commit, and the packages that results depend on."""

from __future__ import annotations

import platform

import pipeline


def describe_version() -> str:
    """One line for xlmr, one for Python, one for each package that does the work."""
    from pipeline.manifest import git_commit, package_versions

    commit = git_commit()
    shown = f" (commit {commit[:10]}{'+changes' if commit.endswith('+changes') else ''})" if commit else ""
    others = {"python": platform.python_version(), **package_versions()}
    others.pop("xlmr-pipeline", None)
    width = max(map(len, others))
    return "\n".join([f"xlmr {pipeline.__version__}{shown}", *(f"  {n:{width}}  {v}" for n, v in others.items())])
