"""Text for terminals: nothing in it is obeyed, and what a terminal has no characters for is written in ASCII."""

import codecs
import sys
from collections.abc import Mapping
from io import TextIOWrapper
from typing import Any

# For terminals of other encodings than UTF-8: one character for one, so that columns stay straight.
ASCII = str.maketrans("·…✓–✗↶↩⊘×‹›→“”’", '.~+-x<=/x<>>""\'')
INTO_ASCII = "fulfillment.ascii"


def harmless(text: str) -> str:
    """Anybody's text on one line, with escapes for what a terminal would obey or what hides other text.

    Those are control characters, escape sequences, ends of lines, and marks that change the direction of writing.
    """
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def harmless_document(document: Any) -> Any:
    """A JSON document with all its strings, names of members included, made harmless."""
    if isinstance(document, str):
        return harmless(document)
    if isinstance(document, Mapping):
        return {harmless(name): harmless_document(value) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [harmless_document(each) for each in document]
    return document


def write_what_can_be_written() -> None:
    """From now on, stdout and stderr write in ASCII what their encoding does not have, instead of failing."""
    codecs.register_error(INTO_ASCII, _into_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=INTO_ASCII)


def say(*lines: str, error: bool = False) -> None:
    """Print harmless lines to stdout or stderr. (click.echo would write UTF-8 to a terminal that says it is ASCII.)"""
    print(*map(harmless, lines), sep="\n", file=sys.stderr if error else sys.stdout, flush=True)


def _into_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(ASCII)
    return text.encode("ascii", "backslashreplace").decode(), error.end
