"""Where lines of logs go; a log that cannot be written costs nothing, and one that is stuck holds nothing up."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import pytest

from passwordless_async.cli.gateway.log_files import InBackground, LogStream, log_file
from passwordless_async.cli.gateway.reading import Values, WrongSettings, read

LOGS = ("access_log", "audit_log")
PATIENCE = 60


def values(name: str, where: object) -> Values:
    """Return settings with a log."""
    required = {"domain": "acme.eu.auth0.com", "client_id": "app", "base_url": "https://app.example"}
    return read({**required, name: str(where)}, {}, None)


@pytest.mark.parametrize("name", LOGS)
def test_a_file(name: str, tmp_path: Path) -> None:
    """Lines are appended, and there when the log is closed."""
    file = tmp_path / "log"
    file.write_text("zero\n")
    with log_file(values(name, file), name) as logger:
        assert logger is not None
        logger.info("one")
    assert file.read_text() == "zero\none\n"


def test_a_file_that_is_renamed(tmp_path: Path) -> None:
    """The next line is in a new file of its name."""
    file = tmp_path / "log"
    with log_file(values("audit_log", file), "audit_log") as logger:
        assert logger is not None
        logger.info("one")
        file.rename(tmp_path / "old")
        logger.info("two")
    assert ((tmp_path / "old").read_text(), file.read_text()) == ("one\n", "two\n")


@pytest.mark.parametrize("name", LOGS)
def test_standard_output(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A line each."""
    with log_file(values(name, "-"), name) as logger:
        assert logger is not None
        logger.info("one")
        logger.info("two")
    assert capfd.readouterr().out == "one\ntwo\n"


def test_off() -> None:
    """There is no logger then."""
    with log_file(values("access_log", "off"), "access_log") as logger:
        assert logger is None


@pytest.mark.parametrize("name", LOGS)
def test_a_file_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    """A sentence says so."""
    where = tmp_path / "none" / "log"
    with pytest.raises(WrongSettings) as raised, log_file(values(name, where), name):
        pass
    option = f"--{name.replace('_', '-')}"
    assert raised.value.message == f"{option}: {where} cannot be written: No such file or directory."


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
@pytest.mark.parametrize("name", LOGS)
def test_a_full_disk(name: str) -> None:
    """A line that cannot be written raises nothing."""
    with log_file(values(name, "/dev/full"), name) as logger:
        assert logger is not None
        logger.info("line")


class Stuck(logging.Handler):
    """A log whose reader does not read until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.released = threading.Event(), threading.Event()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.entered.set()
        assert self.released.wait(PATIENCE)
        self.lines.append(record.getMessage())


def test_a_reader_that_does_not_read() -> None:
    """Lines are kept up to a bound; those beyond it are counted, and nothing waits."""
    stuck = Stuck()
    handler = InBackground(stuck, at_most=2)
    for text in ("one", "two", "three", "four", "five"):
        handler.emit(logging.makeLogRecord({"msg": text}))
        assert stuck.entered.wait(PATIENCE)
    stuck.released.set()
    handler.close()
    assert stuck.lines == ["one", "two", "three", json.dumps({"dropped": 2})]


def test_a_log_that_is_stuck_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends all the same."""
    monkeypatch.setattr("passwordless_async.cli.gateway.log_files._LAST_SECONDS", 0.01)
    stuck = Stuck()
    handler = InBackground(stuck)
    handler.emit(logging.makeLogRecord({"msg": "one"}))
    assert stuck.entered.wait(PATIENCE)
    handler.close()
    assert stuck.lines == []
    stuck.released.set()


def test_a_stream_of_lines(tmp_path: Path) -> None:
    """What writes to a stream writes to the log."""
    file = tmp_path / "log"
    with log_file(values("audit_log", file), "audit_log") as logger:
        assert logger is not None
        stream = LogStream(logger)
        assert stream.write('{"percent": "%s"}\n') == 18
        stream.flush()
    assert file.read_text() == '{"percent": "%s"}\n'
