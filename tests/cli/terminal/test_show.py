"""Tables and progress: text from a server is never a command to the terminal."""

from __future__ import annotations

import pytest

from passwordless_async.cli.terminal import show


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("ünï €", "ünï €"),
        ("\x1b]0;title\x07", "\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER}"),
        ("\x9b31m\r\n\u202e", "\N{REPLACEMENT CHARACTER}31m" + "\N{REPLACEMENT CHARACTER}" * 3),
        (True, "true"),
        (1.5, "1.5"),
        (["a", {"b": None}], '["a", {"b": null}]'),
    ],
)
def test_control_characters_are_replaced(value: object, shown: str) -> None:
    """Text from a server is text, never a command to the terminal."""
    assert show.plain(value) == shown


def test_a_table_is_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets are shown as they are, and nothing is cut off."""
    show.table("Claims", [("[red]name[/red]", "[link=x]" + "long" * 60)])
    out = "".join(capsys.readouterr().out.split())
    assert "[red]name[/red]" in out
    assert "[link=x]" + "long" * 60 in out
