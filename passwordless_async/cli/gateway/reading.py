"""Reads the settings: flags override the environment, which overrides the file.

Neither flags nor the file hold secrets. All mistakes are reported together, one sentence each.
"""

from __future__ import annotations

import tomllib
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs
import click

from passwordless_async._common.secret import conceal, redacted
from passwordless_async.cli.gateway.settings import MEMORY, REQUIRED, SECRETS, SETTINGS, Setting
from passwordless_async.cli.terminal.show import plain
from passwordless_async.testing.setting_types import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_MAX_FILE_BYTES = 1_048_576
_ON_A_COMMAND_LINE = "every user of this machine sees the command line"
_IN_THE_FILE = "a file of settings is copied and committed"


class WrongSettings(click.ClickException):
    """Settings are wrong: a sentence each."""

    exit_code = 2

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentences on standard error."""
        for sentence in self.message.splitlines():
            click.echo(f"Error: {sentence}", err=file is None, file=file)


@attrs.frozen
class Given:
    """A value and where it came from.

    Attributes:
        value: The value.
        source: The flag, the variable or the name in the file; empty for a default.
    """

    value: Any = attrs.field(repr=redacted)
    source: str = ""


@attrs.frozen
class Values:
    """The settings.

    Attributes:
        of: A value for every setting by its name; None if there is none.
        sources: The source of each, by the same names; for a default, the flag that would change it.
        given: The names of those that were given.
    """

    of: Mapping[str, Any] = attrs.field(repr=False)
    sources: Mapping[str, str]
    given: frozenset[str]


def read(flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None) -> Values:
    """Return the settings.

    Args:
        flags: The flags by the names of settings and secrets; None and empty ones were not given.
        environment: The variables of the environment.
        file: The file of settings.

    Raises:
        WrongSettings: Something is wrong.
    """
    problems: list[str] = []
    in_file = {} if file is None else _table(file)
    name_of_file = "" if file is None else plain(file.name)
    problems += _name_problems(flags, in_file, name_of_file)
    given = {
        setting.name: _read_setting(
            setting, list(_places(setting, flags, environment, in_file, name_of_file)), problems
        )
        for setting in SETTINGS.values()
    }
    _take_secrets(given, environment)
    problems += _missing(given)
    if problems:
        raise WrongSettings(*problems)
    return _values(given)


def _values(given: Mapping[str, Given]) -> Values:
    return Values(
        {name: each.value for name, each in given.items()},
        {name: each.source or SETTINGS[name].option for name, each in given.items()},
        frozenset(name for name, each in given.items() if each.source),
    )


def _table(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            raw = opened.read(_MAX_FILE_BYTES + 1)  # a device has no end
        if len(raw) > _MAX_FILE_BYTES:
            raise WrongSettings(
                f"--config: {plain(str(file))} is over {_MAX_FILE_BYTES:,} bytes: it is the wrong file."
            )
        return tomllib.loads(raw.decode())
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except tomllib.TOMLDecodeError as error:
        problem = f"is not TOML: {error}"
    except (UnicodeDecodeError, RecursionError):
        problem = "is not TOML in UTF-8"
    raise WrongSettings(f"--config: {plain(str(file))} {problem}.")


def _places(
    setting: Setting, flags: Mapping[str, Any], environment: Mapping[str, str], in_file: Mapping[str, Any], file: str
) -> Iterator[Given]:
    """Yield where a setting is given, the strongest first."""
    flag = flags.get(setting.name)
    if flag is not None and flag != ():
        yield Given(flag, setting.option)
    # Container files write an absent variable as an empty one.
    if environment.get(setting.variable):
        yield Given(environment[setting.variable], setting.variable)
    if setting.name in in_file:
        yield Given(in_file[setting.name], f"{setting.name} in {file}")


def _read_setting(setting: Setting, places: list[Given], problems: list[str]) -> Given:
    if not places:
        return Given(setting.default)
    given = places[0]
    try:
        value = setting.read(given.value)
    except ValueError as error:
        problems.append(f"{given.source}: {error}.")
        return Given(setting.default, given.source)
    if setting.may_have_secret:
        if given.source != setting.variable and _has_password(value):
            reason = _ON_A_COMMAND_LINE if given.source == setting.option else _IN_THE_FILE
            problems.append(
                f"{given.source}: must have no password, for {reason}; put the URL into {setting.variable}, "
                "or into a file that --store-from names."
            )
        value = conceal(value)
    return Given(value, given.source)


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "@" in url
    # Redis's own URLs may have it in the query too.
    return url != MEMORY and (parts.password is not None or "password" in parts.query)


def _name_problems(flags: Mapping[str, Any], in_file: Mapping[str, Any], file: str) -> Iterator[str]:
    """Yield what is wrong with names: secrets where none belong, and unknown ones."""
    for secret, place in SECRETS.items():
        there = f"put it into {SETTINGS[place].variable.removesuffix('_FROM')}, or into a file that"
        if flags.get(secret) is not None:
            option = f"--{secret.replace('_', '-')}"
            yield f"{option}: secrets cannot be flags, because {_ON_A_COMMAND_LINE}; {there} {option}-from names."
        if secret in in_file:
            yield f"{secret} in {file}: the file must not have a secret, because {_IN_THE_FILE}; {there} {place} names."
    for name in in_file:
        if name not in SETTINGS and name not in SECRETS:
            yield f"{plain(name)} in {file}: there is no such setting ({did_you_mean(SETTINGS, name)})."


def _take_secrets(given: dict[str, Given], environment: Mapping[str, str]) -> None:
    """Note which secrets are in the environment itself."""
    for place in SECRETS.values():
        variable = SETTINGS[place].variable.removesuffix("_FROM")
        if environment.get(variable) and not given[place].source:
            given[place] = Given(f"env:{variable}", variable)


def _missing(given: Mapping[str, Given]) -> Iterator[str]:
    for name in REQUIRED:
        setting = SETTINGS[name]
        if given[name].value is None and not given[name].source:
            yield f"{name} is missing: give {setting.option}, {setting.variable} or {name} in the file of --config."
