"""What is released: its dependencies, its classifiers, extras that are absent, and the workflows that release it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = {path.stem: path for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}
FOR_CONTRIBUTORS = {"bench", "dev", "docs"}
GATEWAY = """
from passwordless_async import PasswordlessClient
from passwordless_async.gateway import Gateway
Gateway(PasswordlessClient("acme.eu.auth0.com", "app"), base_url="https://app.example")
"""
# What a user of an extra does first, without its libraries.
FIRST_USES = {
    "cli": ("click", "import sys; from passwordless_async.cli import main; sys.exit(main())"),
    "fastapi": ("fastapi", "import passwordless_async.adapters.fastapi"),
    "gateway": ("jinja2", GATEWAY),
    "httpx2": ("httpx2", "import passwordless_async.adapters.httpx2"),
    "otel": ("opentelemetry", "import passwordless_async.adapters.opentelemetry"),
    "redis": ("redis", "import passwordless_async.stores.redis"),
    "starlette": ("starlette", "import passwordless_async.adapters.starlette"),
}


def _name(requirement: str) -> str:
    return re.split(r"[^\w-]", requirement, maxsplit=1)[0].lower()


def test_few_direct_dependencies() -> None:
    """At most four beside aiohttp and what that brings."""
    brought = {_name(each) for each in metadata.requires("aiohttp") or () if "extra ==" not in each}
    own = {_name(each) for each in PROJECT["dependencies"]} - {"aiohttp"}
    assert own - brought == {"cryptography", "joserfc"}


def test_every_extra_has_a_first_use() -> None:
    """The table here has each extra that is for users."""
    assert FIRST_USES.keys() == PROJECT["optional-dependencies"].keys() - FOR_CONTRIBUTORS


@pytest.mark.slow
@pytest.mark.parametrize("extra", FIRST_USES)
def test_an_absent_extra_is_a_sentence_with_the_command(extra: str) -> None:
    """The last line that is shown says what to install."""
    library, use = FIRST_USES[extra]
    code = f"import sys; sys.modules[{library!r}] = None\n{use}"
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1].replace("'", '"')
    assert last.endswith(f'pip install "passwordless-async[{extra}]"')


def test_bench_has_what_benchmarks_import() -> None:
    """``pip install -e ".[bench]"`` is enough for ``python -m benchmarks``."""
    extras = PROJECT["optional-dependencies"]
    own = next(each for each in extras["bench"] if each.startswith("passwordless-async["))
    names = re.findall(r"[\w-]+", own.partition("[")[2])
    brought = [each for extra in (*names, "bench") for each in extras[extra]]
    libraries = {_name(each).replace("-", "_") for each in (*PROJECT["dependencies"], *brought)}
    imported = {
        module
        for file in sorted((ROOT / "benchmarks").glob("*.py"))
        for module in re.findall(r"^ *(?:from|import) ([\w.]+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    # Imports of ours that need an extra; libraries whose module has another name, or that another one brings.
    needs = {"passwordless_async.gateway": "jinja2", "passwordless_async.stores.redis": "redis", "jwt": "pyjwt"}
    needs |= {"auth0": "auth0_python", "requests": "requests_oauth2client", "certifi": "auth0_python"}
    inside = {*sys.stdlib_module_names, "benchmarks", "passwordless_async"}
    wanted = {needs.get(module, module.partition(".")[0]) for module in imported}
    assert {needs.get(name, name) for name in wanted} - inside - libraries == set()


def workflow(name: str) -> dict[str, Any]:
    """Return a workflow; YAML reads its key ``on`` as true."""
    read = yaml.safe_load(WORKFLOWS[name].read_text(encoding="utf-8"))
    assert isinstance(read, dict)
    return {str(key): value for key, value in read.items()}


def steps_of(name: str) -> list[dict[str, Any]]:
    """Return all steps of a workflow."""
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_form_of_a_workflow(name: str) -> None:
    """Each has a trigger and permissions; each job a machine and an end; each step does one thing, at a commit."""
    found = workflow(name)
    assert found.keys() <= {"name", "True", "permissions", "concurrency", "jobs"}
    assert found.keys() >= {"name", "True", "permissions", "jobs"}
    known = {"name", "runs-on", "timeout-minutes", "needs", "strategy", "steps", "permissions"}
    for job in found["jobs"].values():
        assert job.keys() - known <= {"continue-on-error", "environment"}
        assert job.keys() >= {"runs-on", "timeout-minutes", "steps"}
        assert {job.get("needs")} - {None} <= found["jobs"].keys()
    for step in steps_of(name):
        assert ("uses" in step) is not ("run" in step)
        assert step.keys() <= {"name", "uses", "run", "with", "env"}
        # A tag can be moved to other code, a commit cannot.
        assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_sessions_of_a_workflow_exist(name: str) -> None:
    """A command of a contributor that a workflow runs is in noxfile.py."""
    sessions = re.findall(r"@nox\.session\ndef (\w+)", (ROOT / "noxfile.py").read_text(encoding="utf-8"))
    used = [word for step in steps_of(name) for word in re.findall(r"nox -s (\w+)", step.get("run", ""))]
    for job in workflow(name)["jobs"].values():
        rows = job.get("strategy", {}).get("matrix", {}).get("include", ())
        used += [row["session"] for row in rows if "session" in row]
    assert set(used) <= set(sessions)
    assert used


def test_what_is_tested_is_classified() -> None:
    """A Python is a classifier where a job must pass on it; one that may fail is none."""
    jobs = workflow("ci")["jobs"]
    setup = next(step for step in jobs["all"]["steps"] if "setup-python" in step.get("uses", ""))
    matrix = jobs["tests"]["strategy"]["matrix"]
    classified = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", each)]
    assert [setup["with"]["python-version"], *matrix["python"]] == classified
    assert matrix["include"] == [{"python": "3.14", "may-fail": True}]
    assert jobs["tests"]["continue-on-error"] == "${{ matrix.may-fail || false }}"


def test_the_job_that_publishes_runs_no_code() -> None:
    """It publishes what another job has built and attested, by a token of its own identity."""
    found = workflow("release")
    jobs = found["jobs"]
    assert found["permissions"] == {}
    assert [jobs[name].get("needs") for name in ("build", "attest", "publish")] == [None, "build", "attest"]
    assert jobs["build"]["permissions"] == {"contents": "read"}
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["environment"]
    used = [step["uses"].partition("@")[0] for step in jobs["publish"]["steps"]]
    assert used == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]
    attested = [step["uses"].partition("@")[0] for step in jobs["attest"]["steps"] if "attest" in step["uses"]]
    assert attested == ["actions/attest-build-provenance", "actions/attest-sbom"]


def test_a_package_page_leads_on() -> None:
    """To the source, the documentation, the changelog and the issues."""
    assert {"Changelog", "Documentation", "Homepage", "Issues", "Source"} == PROJECT["urls"].keys()
    assert all(url.startswith("https://") for url in PROJECT["urls"].values())
