"""The files of containers: they parse, name no registry's host, and the gateway takes the settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from passwordless_async.cli.app import run

FOLDER = Path(__file__).parents[2] / "examples" / "compose"
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
_INSTRUCTIONS = {"FROM", "RUN", "COPY", "USER", "ENV", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


def _images() -> list[str]:
    return [*re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE), *(each["image"] for each in SERVICES.values())]


@pytest.mark.parametrize("image", _images())
def test_an_image_names_no_host(image: str) -> None:
    """A name, and a tag that is not "latest"."""
    assert re.fullmatch(r"[a-z0-9-]+(/[a-z0-9-]+)?:(?!latest)[a-z0-9.-]+", image)


def test_the_dockerfile() -> None:
    """Each line is an instruction, the extras exist, and a user of its own runs the command."""
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    assert {line.split()[0] for line in lines} == _INSTRUCTIONS
    assert '"passwordless-async[gateway,redis]"' in DOCKERFILE
    assert DOCKERFILE.index("USER gateway") < DOCKERFILE.index("ENTRYPOINT")


def test_what_services_use_is_there() -> None:
    """Files that are mounted, secrets, volumes and services that are waited for."""
    for service in SERVICES.values():
        assert set(service["secrets"]) <= COMPOSE["secrets"].keys()
        assert set(service.get("depends_on", {})) <= SERVICES.keys()
        for source in (volume.split(":")[0] for volume in service["volumes"]):
            assert (FOLDER / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]
    gateway = SERVICES["gateway"]
    assert (gateway["read_only"], gateway["cap_drop"]) == (True, ["ALL"])
    assert gateway["ports"] == ["127.0.0.1:8001-8002:8000"]
    assert "8001" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_gateway_takes_the_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the secrets at other places; calls in flight have time before the container is killed."""
    for name, text in {"client": "s3cret", "store": "redis://:s3cret@redis:6379"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert run(["sessions", "keys", str(tmp_path / "keys")]) == 0
    text = (FOLDER / "gateway.toml").read_text(encoding="utf-8").replace("/run/secrets", str(tmp_path))
    file = tmp_path / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    assert run(["gateway", "--config", str(file), "--check"]) == 0
    shown = capsys.readouterr().out
    assert "workers                2" in shown
    assert "s3cret" not in shown
    (seconds,) = re.findall(r"^shutdown_seconds = (\d+)$", text, re.MULTILINE)
    assert float(SERVICES["gateway"]["stop_grace_period"].removesuffix("s")) > float(seconds) + 5
