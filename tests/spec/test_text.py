r"""The tests beside this one quote the original text, each its sentence; together they quote all of it.

The text is the LaTeX source of the SocketServer chapter.  A test's docstring is its sentence to the letter, with the
markup round it; only line breaks are ours.  What is no statement (a comment in the source, a recommended book) stands
with the sentence that it leads to or comes from.  ``reactor/socketserver.py`` follows the later practice; where the two
differ, the sentence holds for the native classes, which these tests are about.
"""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

PARTS = ("test_overview.py", "test_server.py", "test_hooks.py", "test_handler.py")

# Of the whole text with each run of white space as one blank.
SHA256 = "eebe6d34d61e6116ab543ecafac276835565383c210bd10b361791e2b326b435"


def quoted_sentences() -> list[str]:
    """The docstrings of all tests, in the order in which they stand."""
    return [
        " ".join((ast.get_docstring(test) or "").split())
        for part in PARTS
        for test in ast.parse((Path(__file__).parent / part).read_text()).body
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_")
    ]


def test_each_quotes_something():
    assert "" not in quoted_sentences()


def test_the_whole_text_is_quoted():
    assert hashlib.sha256(" ".join(quoted_sentences()).encode()).hexdigest() == SHA256
