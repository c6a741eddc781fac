"""Shapes: values that are known for what they are by how they are written.

Every pattern runs on a signature, where each word with a digit is `0` already, and is linear
in its length: runs are bounded or begin where no run can have begun before.
"""

import re

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6}"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = rf"(?:{'|'.join(_MONTHS)})[a-z]{{0,6}}"
_DATE = re.compile(
    rf"\b(?:{_DAY},? {{1,3}})?(?:{_MONTH} {{1,3}}0|0[ /-]{_MONTH}[ /-]0)\b(?:,? {{1,3}}0)?"
    r"(?:[ :] {0,2}0:0(?::0)?(?:[.,]0)?)?(?: {1,3}[A-Z]{2,4}\b)?(?: {1,3}[+-]?0\b)?"
)
_URL = re.compile(r"\b[a-zA-Z][\w+.-]{0,31}://[^\s\"'<>()|]*[\w/]")
_COLON_HEX = re.compile(  # MAC and IPv6 addresses, world wide names: letters are left of them
    r"(?<![\w:])(?:[0-9A-Fa-f]{1,4})?(?::{1,2}[0-9A-Fa-f]{1,4}){3,}(?!\w)"
)
_HOST_PORT = re.compile(r"(?<![\w.-])[a-z0][a-z0-]{0,62}(?:\.[a-z0-]{1,63})+:0\b")
_PATH = re.compile(  # a run of punctuation within is bounded, and never given back
    r"(?<![\w/.\\>)\]}])(?:[A-Za-z]:|[~.]{1,2})?[/\\]"
    r"(?:(?:[.\-~%+@$/\\!#&]|:(?=[\w./])|[=,\[\]{}](?=[0./])){0,16}+[\w*]++)++"
    r"(?:\?[^\s\"'<>()]{0,256}[\w%]|[/\\])?"
)
_UNIT = r"(?:[KMGTkmgt]i?)?(?:[Bb]ytes?|[Bb])"
_BYTES = rf"(?:[.,]0)? ?{_UNIT}\b(?: \(0(?:[.,]0)? ?{_UNIT}\))?"
_SIZE = re.compile(  # either way begins with a character, which is what is searched for
    rf"<0(?:{_BYTES}| ?(?:[mun]?s|msec|secs?|seconds?|min|minutes?)\b)|0(?<!\w0){_BYTES}"
)

# A row of dots leads from a label to its value, as in a table of contents.
_LEADER = re.compile(r"\.{4,}")

_HEX = re.compile(r"[A-Fa-f]{8,}").fullmatch
_NAME = re.compile(  # of three parts and more (host, package, a/b/c), or user@host
    r"[A-Za-z_$][\w$-]*(?:[./\\]{1,2}[A-Za-z_$][\w$-]*){2,}|[\w.+-]+@[\w.-]+"
).fullmatch


def is_name(word: str) -> bool:
    """Whether a word by itself is all-letter hex, or a name made of parts.

    >>> is_name("deadbeef"), is_name("com.example.shop"), is_name("checkout")
    (True, True, False)
    """
    if word.isalpha():  # most are
        return len(word) > 7 and _HEX(word) is not None  # noqa: PLR2004 - as above
    return _NAME(word) is not None


def shaped(signature: str) -> str:
    """The signature with URLs, addresses, paths, dates and sizes as 0 each.

    >>> shaped("GET http://shop/cart took <0 sec from /var/run/shop.sock")
    'GET 0 took 0 from 0'
    """
    if "...." in signature:
        signature = _LEADER.sub(" ... ", signature)
    if "://" in signature:
        signature = _URL.sub("0", signature)
    if signature.count(":") > 2:  # noqa: PLR2004 - four groups have three between them
        signature = _COLON_HEX.sub("0", signature)
    if ":0" in signature:
        signature = _HOST_PORT.sub("0", signature)
    if "/" in signature or "\\" in signature:
        signature = _PATH.sub("0", signature)
    if any(month in signature for month in _MONTHS):
        signature = _DATE.sub("0", signature)
    return _SIZE.sub("0", signature)
