"""Parts of pages that are made from the code: ``<!-- generated: NAME -->`` on a line of its own.

They are Markdown, inserted when the page is read, so the site always agrees with the code.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click
from public_names import docstring_of, object_of
from sphinx.pycode import ModuleAnalyzer

from passwordless_async import BULK, INTERACTIVE, TESTING, Policy, Profile, errors
from passwordless_async.cli.app import app as program
from passwordless_async.cli.gateway.settings import SETTINGS
from passwordless_async.client import profile
from passwordless_async.gateway import Budgets, Captcha, Sms, Upstream, replies
from passwordless_async.gateway.problems import problem_of
from passwordless_async.gateway.texts.catalogs import built_in
from passwordless_async.stores.redis import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from http import HTTPStatus

    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

_MARK = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)
_PROFILES = {"INTERACTIVE": INTERACTIVE, "BULK": BULK, "TESTING": TESTING}
_PUBLIC = "passwordless_async"
_ROOT = Path(__file__).parents[2]
_DIRECTIVE = re.compile(r"^\.\. auto(?:class|data|exception|function):: (\S+)$", re.MULTILINE)
_REFERENCE = re.compile(r":\w+:`([^`<]+?)(?: <[^`>]*>)?`")
_MANY = 4  # public methods of a class that the table of a page lists too


def all_errors(kind: type[errors.PasswordlessError] = errors.PasswordlessError) -> Iterator[type]:
    """Yield the errors that have public names, in the order of the tree."""
    yield kind
    order = {name: index for index, name in enumerate(re.findall(r"\w+", str(errors.__doc__)))}
    public = (each for each in kind.__subclasses__() if getattr(errors, each.__name__, None) is each)
    for each in sorted(public, key=lambda each: order.get(each.__name__, len(order))):
        yield from all_errors(each)


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = list(head)
    return "\n".join([_row(*head), _row(*["---"] * len(head)), *(_row(*row) for row in rows)])


def error_tree() -> str:
    """The tree as the module draws it."""
    lines = inspect.cleandoc(str(errors.__doc__)).splitlines()
    start = lines.index("    PasswordlessError")
    end = next(index for index, line in enumerate(lines) if index > start and not line.strip())
    return "\n".join(["```text", *(line[4:] for line in lines[start:end]), "```"])


def _to_people(kind: type) -> tuple[HTTPStatus, str]:
    """Return the gateway's status for an error, and the text for the user."""
    problem, status = problem_of(kind.__new__(kind))
    texts = built_in()["en"]["problem"]
    return status, texts[problem.key].replace("{wait}", "20 seconds")


def error_table() -> str:
    """Each error: its code, its cause, the advice, and the response of the gateway."""
    rows = []
    for kind in all_errors():
        status, text = _to_people(kind)
        path = f"{_PUBLIC}.{kind.__name__}"
        retryable = ", retryable" if kind.retryable else ""
        name = f"[`{kind.__name__}`](#{path})<br>`{kind.code}`{retryable}"
        rows.append([name, summary(path), kind.advice, f"{status.value}", text])
    return _table(["error, `code`", "cause", "advice", "gateway's status", "text for the user"], rows)


def error_classes() -> str:
    """Each error by autodoc."""
    return _rst(*(f".. autoexception:: {_PUBLIC}.{kind.__name__}" for kind in all_errors()))


def _rst(*lines: str) -> str:
    return "\n".join(["```{eval-rst}", *lines, "```"])


def redis_keys() -> str:
    """The table that the module of the keys has."""
    return _rst(*inspect.cleandoc(str(keys.__doc__)).splitlines()[2:])


def profiles() -> str:
    """Every number of the three profiles, and what it means."""
    meanings = _arguments(Profile) | {f"single.{name}": text for name, text in _arguments(Policy).items()}
    names = [field.name for field in attrs.fields(Profile)]
    rows = [
        [f"`{name}`", meanings[name], *_values(name, _PROFILES.values()), _reason(name)]
        for name in names
        if not isinstance(getattr(INTERACTIVE, name), Policy)
    ]
    return _table(["setting", "meaning", *(f"`{name}`" for name in _PROFILES), "reason"], rows)


def policies() -> str:
    """The numbers of the policies in the profiles."""
    meanings = _arguments(Policy)
    kinds = {"interactive calls": INTERACTIVE.single, "batches, and all of `BULK`": INTERACTIVE.many}
    kinds["all of `TESTING`"] = TESTING.single
    rows = [
        [f"`{field.name}`", meanings[field.name], *_values(field.name, kinds.values()), _reason(field.name)]
        for field in attrs.fields(Policy)
    ]
    return _table(["setting", "meaning", *kinds, "reason"], rows)


def _values(name: str, settings: Iterable[object]) -> list[str]:
    return [f"`{getattr(each, name)!r}`" for each in settings]


def _arguments(kind: type) -> dict[str, str]:
    """Return the description of each argument in a docstring."""
    section = inspect.cleandoc(str(kind.__doc__)).partition("Args:\n")[2].partition("\n\n")[0]
    entries = re.split(r"\n(?=    \w+: )", "\n" + section)
    pairs = (entry.strip().partition(": ") for entry in entries if entry.strip())
    return {name: " ".join(text.split()).replace("``", "`") for name, _, text in pairs}


def _reason(name: str) -> str:
    """Return the reason that the code gives for the first value of a setting."""
    source = inspect.getsource(profile)
    reasons = re.findall(rf"^\s+{name}=[^#\n]*,  # (.+)$", source, re.MULTILINE)
    above = re.findall(rf"^    # (.+)\n    {name}: ", source, re.MULTILINE)
    texts = [re.sub(r"^seconds(; |$)", "", reason) for reason in dict.fromkeys([*reasons, *above])]
    return "; ".join(text.rstrip(".") for text in texts if text)


def command_line() -> str:
    """Every command, as its ``--help`` says."""
    context = click.Context(program, info_name="passwordless-async", **program.context_settings)
    return "\n\n".join(_command(program, context))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## `{context.command_path}`"
    yield _paragraphs(command.help or "")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"```text\n{usage}\n```"
    records = [record for param in command.get_params(context) if (record := param.get_help_record(context))]
    yield _table(["option", "meaning"], [[f"`{name}`", _escaped(text)] for name, text in records])
    if command.epilog:
        yield _paragraphs(command.epilog)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from _command(child, click.Context(child, context, info_name=name))


def _paragraphs(text: str) -> str:
    """Return a help text: paragraphs, and as code those that must not be wrapped."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        f"```text\n{each.replace(chr(8) + chr(10), chr(10)).strip(chr(10))}\n```"
        if each.startswith("\b")
        else _escaped(each)
        for each in paragraphs
    )


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_<>{}\[\]$])", r"\\\1", " ".join(text.split()))


def compatibility() -> str:
    """The requirements, from the file that installers read."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = [[f"`{_split(each)[0]}`", _split(each)[1], "always"] for each in project["dependencies"]]
    extras = [
        [f"`{_split(each)[0]}`", _split(each)[1], f'`pip install "passwordless-async[{extra}]"`']
        for extra, needs in project["optional-dependencies"].items()
        for each in needs
        if extra not in {"bench", "dev", "docs"} and not each.startswith("passwordless-async")
    ]
    return _table(["library", "version", "when"], [*own, *extras])


def _split(requirement: str) -> tuple[str, str]:
    name, _, version = requirement.partition(">=")
    return name, f"{version} or newer"


def gateway_steps() -> str:
    """Each step of the gateway, and the members that its JSON has."""
    docs = ModuleAnalyzer.for_module(replies.__name__)
    docs.analyze()
    texts = (" ".join(docs.attr_docs["Page", page.name]).strip().replace("``", "`") for page in replies.Page)
    rows = zip(replies.Page, texts, strict=True)
    return _table(["`step`", "members"], ([f"`{page}`", _in_json(text)] for page, text in rows))


def _in_json(text: str) -> str:
    """Return the description of a page's facts as one of members of JSON."""
    text = re.sub(r"[Nn]o facts\.", "None.", re.sub(r"[Ff]acts: ", "", text).replace("None)", "null)"))
    return text.replace("or None", "or null")


def names(page: str) -> str:
    """Return a table of the names on a page, each with a line, and large classes with their methods."""
    paths = _DIRECTIVE.findall(page)
    times = Counter(path.rpartition(".")[2] for path in paths)
    rows = []
    for path in paths:
        parts = path.split(".")
        rows.append((".".join(parts[-2:] if times[parts[-1]] > 1 else parts[-1:]), path))
        rows += ((f".{name}()", f"{path}.{name}") for name in _methods(object_of(path)))
    return _table(["name", "description"], ([f"[`{name}`](#{path})", summary(path)] for name, path in rows))


def _methods(of: object) -> list[str]:
    """Return the public methods of a class, in the order of its source; none if they are few."""
    found = [name for name, value in vars(of).items() if inspect.isroutine(value)] if inspect.isclass(of) else []
    public = [name for name in found if not name.startswith("_")]
    return public if len(public) >= _MANY else []


def summary(path: str) -> str:
    """Return the first paragraph of a docstring, as Markdown."""
    text = " ".join(docstring_of(path).partition("\n\n")[0].split())
    return _REFERENCE.sub(_named, text).replace("``", "`")


def _named(reference: re.Match[str]) -> str:
    """Return the text of a reference: its title, or its target; after a tilde only the last part of that."""
    text = reference[1]
    return f"`{text.rpartition('.')[2] if text.startswith('~') else text}`"


def gateway_settings() -> str:
    """Each setting of the gateway's command, as its help says."""
    rows = ([f"`{name}`", _escaped(each.help), _default(each.default)] for name, each in SETTINGS.items())
    return _table(["name in the file", "meaning", "default"], rows)


def _settings_of(kind: type) -> Callable[[], str]:
    """Return a function that makes the table of a class's arguments, by their names in the settings file."""

    def table() -> str:
        meanings = _arguments(kind)
        given = {field.name: field.default for field in attrs.fields(kind) if field.init and field.name in meanings}
        named = {name: default for name, default in given.items() if name != "calling_codes"}  # a setting of its own
        rows = ([f"`{name}`", meanings[name], _default(default)] for name, default in named.items())
        return _table(["name", "meaning", "default"], rows)

    return table


def _default(value: object) -> str:
    """Return a default as a file would have it; empty if there is none."""
    if value in {None, attrs.NOTHING, (), frozenset()}:
        return ""
    if isinstance(value, tuple):
        return f"`{list(value)}`".replace("'", '"')
    return f'`"{value}"`' if isinstance(value, str) else f"`{str(value).lower()}`"


PARTS: dict[str, Callable[[], str]] = {
    "error-tree": error_tree,
    "error-table": error_table,
    "error-classes": error_classes,
    "redis-keys": redis_keys,
    "profiles": profiles,
    "policies": policies,
    "command-line": command_line,
    "compatibility": compatibility,
    "gateway-steps": gateway_steps,
    "gateway-settings": gateway_settings,
    "upstream-settings": _settings_of(Upstream),
    "budget-settings": _settings_of(Budgets),
    "sms-settings": _settings_of(Sms),
    "captcha-settings": _settings_of(Captcha),
}


def fill(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Put the parts into a page."""
    page = source[0]
    source[0] = _MARK.sub(lambda match: names(page) if match[1] == "names" else PARTS[match[1]](), page)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Fill each page when it is read."""
    app.connect("source-read", fill)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
