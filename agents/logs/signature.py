"""Signature: a line with every word that holds a digit replaced by one 0.

Nearly every line of a stream ends here: what varies from one line to the next of the same
statement is mostly numbers, so a look-up of the signature finds the template. All later steps
see the signature alone, which makes that look-up exact.
"""

import re

WIDTH = 768  # characters of a line that count: values may be wide
LENGTH = 384  # of a signature, where values are not: room for the tokens that count

# IPv4 and IPv6 name a protocol: their digit is no value.
_NUMBERED = re.compile(r"\b(?![iI][pP][vV][46]\b)[^\W\d]*+\d\w*+")
substitute = _NUMBERED.sub  # bound once: it runs for every line


def signature(line: str) -> str:
    """The signature of a line, at most LENGTH characters long.

    >>> signature("Took 12.5ms to reach db-7 over IPv4")
    'Took 0.0 to reach db-0 over IPv4'
    """
    text = substitute("0", line if len(line) <= WIDTH else _cut(line, WIDTH))
    return text if len(text) <= LENGTH else _cut(text, LENGTH)


def _cut(text: str, length: int) -> str:
    """The first characters, less the word that would be cut: half a word is another word."""
    end = text.rfind(" ", 0, length + 1)
    return text[: end if end > 0 else length]
