"""A hook of MkDocs: formulas become MathML, which browsers draw without a script."""

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL
)


def on_page_content(content, **kwargs):
    """Replaces what `pymdownx.arithmatex` marked as LaTeX."""
    return FORMULA.sub(_mathml, content)


def _mathml(match):
    latex = html.unescape(match[3])
    mathml = convert(latex, display="inline" if match[2] == "(" else "block")
    # Commands that the converter doesn't know come out as text.
    if "\\" in mathml:
        raise ValueError(f"No MathML for a command of the formula {latex!r}")
    return mathml
