"""Masking: secrets and personal data leave a text before it is written anywhere.

`masked` is for what is kept: what intake writes, and lines that are evidence. `bare` is for
signatures, whose numbers are gone already: what words tell of (schemas/labelled.py). What is
not recognisable by its shape or its label cannot be found: a name in a sentence stays.

What is found is of a kind, and each kind can be left alone. Addresses of machines are one:
many are a person's, but a series' instance is one, too. Host names stay always, without them
evidence is worth little.
"""

import ipaddress
import re
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import NamedTuple

from schemas.issued import without_issued
from schemas.labelled import concealed

KINDS = frozenset({"token", "email", "person", "phone", "iban", "card", "ip"})
_KEY = re.compile(r"(?<![\w/+=-])[A-Za-z0-9/+]{40,4096}={0,2}(?![\w/+=-])")  # base64
UNBROKEN = 20  # characters between slashes that a key of 40 has somewhere, and a path seldom
_MARK = re.compile(r"<(?:secret|email|person|phone|account|card|ip)>")
_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}(?<=[\w:])(?![\w:])")
_NAMED_IPV6 = re.compile(  # a name and a colon stand before it
    r"(?<![\w:.])([A-Za-z_]\w{0,30}:)([0-9A-Fa-f:]{2,39})(?<=[\w:])(?![\w:])"
)
GROUPS = 7  # colons of an address that leaves no zeros out; others have `::`
AT = "@", "%40", "u0040"  # as it is, in a URL, in JSON
_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w.+%-]{1,64}(?:'[\w.+%-]{1,64})?(?:@|%40|\\{1,4}u0040)[\w-]{1,63}"
    r"(?:\.[\w-]{1,63}){0,8}\.(?:xn--[\w-]{2,59}"
    # not a version (left-pad@1.3.0), not a unit of systemd (user@1000.service)
    r"|(?!(?:service|socket|timer|mount|slice|scope|device|swap|target)\b)[^\W\d_]{2,63})"
)
_CARD = re.compile(  # as printed, or without gaps; times in milliseconds begin with 1
    r"(?<![\w.-])(?:[2-6]\d{13,18}|[2-6]\d{3}([ -])\d{4}\1\d{4}\1\d{1,7}"
    r"|3\d{3}([ -])\d{6}\2\d{4,5})(?![\w-])"
)
# Of whom a number can be, by its beginning and length (ISO/IEC 7812): Visa, Mastercard and Mir,
# American Express, Diners and JCB, then Discover, UnionPay, RuPay and Maestro.
_BRAND = re.compile(
    r"4\d{15}(?:\d{3})?|(?:5[1-5]\d\d|220[0-4]|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"
    r"|3[47]\d{13}|3[0689]\d{12}(?:\d{2,5})?|35\d{14}(?:\d{3})?|(?:5[06-8]|6\d)\d{14,17}"
)
_SOCIAL = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")
_PHONE = re.compile(  # E.164; +0200 is a time zone, and so is what stands behind a time
    r"(?<![\w+])(?<!\d )\+[1-9]\d{0,2}[ -]?\(?\d{1,4}\)?(?:[ -]?\d{2,4}){2,4}(?![\w-])"
)
DIGITS = 10  # of a telephone number without gaps; with fewer, it is an amount
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")


def bare(signature: str) -> str:
    """The signature with what must not be stored as 0: such values are found by their words.

    What is masked already is so, too: a line is of one template before and after.

    >>> bare("mail of ann@example.com, password=hunter, card <card>")
    'mail of 0, password=0, card 0'
    """
    text = concealed(signature, "0")
    text = without_issued(text, "0")
    if any(sign in text for sign in AT):
        text = _EMAIL.sub("0", text)
    return _MARK.sub("0", text) if "<" in text else text


def masked(text: str, kinds: Collection[str] = KINDS) -> str:
    """The text with secrets and personal data of these kinds replaced by what they were.

    >>> masked("mail to ann@example.com, card 4111 1111 1111 1111, Bearer abcdefgh12345678")
    'mail to <email>, card <card>, Bearer <secret>'
    """
    for step in _steps(frozenset(kinds)):
        text = step.mask(text)
    return text


class Step(NamedTuple):
    """One look at a text, for one kind."""

    kind: str
    mask: Callable[[str], str]


def _email(text: str) -> str:
    return _EMAIL.sub("<email>", text) if any(sign in text for sign in AT) else text


def _person(text: str) -> str:
    return _SOCIAL.sub("<person>", text)


def _phone(text: str) -> str:
    if "+" not in text:
        return text
    return _PHONE.sub(lambda found: "<phone>" if _is_phone(found[0]) else found[0], text)


def _iban(text: str) -> str:
    return _IBAN.sub(lambda found: "<account>" if _is_iban(found[0]) else found[0], text)


def _key(text: str) -> str:
    return _KEY.sub(lambda found: "<secret>" if _is_key(found[0]) else found[0], text)


def _ipv4(text: str) -> str:
    return _IPV4.sub(lambda found: "<ip>" if _is_address(found[0]) else found[0], text)


def _ipv6(text: str) -> str:
    if "::" not in text and text.count(":") < GROUPS:
        return text
    text = _IPV6.sub(lambda found: "<ip>" if _is_address(found[0]) else found[0], text)
    return _NAMED_IPV6.sub(
        lambda found: f"{found[1]}<ip>" if _is_address(found[2]) else found[0], text
    )


def _card(text: str) -> str:
    return _CARD.sub(lambda found: "<card>" if _is_card(found[0]) else found[0], text)


# In this order: what is labelled goes whole, before a part of it looks like something else
STEPS = (
    Step("token", concealed), Step("token", without_issued), Step("email", _email),
    Step("person", _person), Step("phone", _phone), Step("iban", _iban), Step("token", _key),
    Step("ip", _ipv4), Step("ip", _ipv6), Step("card", _card),
)  # fmt: skip


@lru_cache(maxsize=64)
def _steps(kinds: frozenset[str]) -> tuple[Step, ...]:
    return tuple(step for step in STEPS if step.kind in kinds)


def _is_card(written: str) -> bool:
    """Of a brand, and with Luhn's check digit, which one number of ten has by chance."""
    plain = "".join(filter(str.isdigit, written))
    digits = [int(char) for char in reversed(plain)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    right = (sum(digits[::2]) + sum(doubled)) % 10 == 0
    return right and _BRAND.fullmatch(plain) is not None


def _is_phone(written: str) -> bool:
    plain = written[1:]
    return not plain.isdigit() or len(plain) >= DIGITS


def _is_iban(written: str) -> bool:
    """The check digits of ISO 13616: the rearranged number is 1 modulo 97."""
    plain = written.replace(" ", "")
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def _is_key(written: str) -> bool:
    """Whether it looks drawn at random: all kinds of characters, and no path of words."""
    kinds = (str.isupper, str.islower, str.isdigit)
    longest = max(map(len, written.split("/")))
    return longest >= UNBROKEN and all(any(map(kind, written)) for kind in kinds)


def _is_address(written: str) -> bool:
    if written.startswith("0.0.0.") or not any(char.isalnum() for char in written):
        return False  # every address, no address
    try:
        ipaddress.ip_address(written)
    except ValueError:
        return False
    return True
