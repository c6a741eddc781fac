"""Masking: secrets and personal data leave a line before anything of it is stored.

`masked` is for lines that are kept as evidence; `concealed` is the part of it that is about
words, for signatures, whose numbers are gone already. What is not recognisable by its shape
or its label cannot be found: a name in a sentence stays. Addresses go, since many are a
person's; host names stay, without them evidence is worth little.
"""

import ipaddress
import re
from collections.abc import Callable

_LABELS = (
    "pass", "pwd", "secret", "token", "api_key", "apikey", "api-key",
    "access_key", "accesskey", "access-key", "private_key", "privatekey", "private-key",
    "credential", "authorization", "cookie", "signature", "session_id", "sessionid",
)  # fmt: skip
_LABELLED = re.compile(
    r"((?=[pstac])"  # nearly everywhere enough to know that there is none
    r"(?:passw(?:or)?d|passwd|pwd|passphrase|secret|token|(?:api|access|private)[-_]?key"
    r"|credentials?|cookie|signature|session_?id|\bpass\b)[\w-]{0,16}+\\?[\"']?\s{0,2}+[=:]\s{0,2})"
    r"(?:\\?\"[^\"\\]*|'[^']*|[^\s\"',;&()\[\]{}<>|]+)",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(
    r"(authorization\\?[\"']?\s{0,2}[=:]\s{0,2}\\?[\"']?)(?:\w{1,16}\s{1,2})?[^\s\"',;\\]+",
    re.IGNORECASE,
)
_OPTION = re.compile(
    r"(--?(?:password|passwd|pass|token|secret|api-?key|credentials?)[ =]\s{0,2})[^\s-]\S*",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(://)[^\s/@:]{0,128}:[^\s/@]{1,256}(?=@)")
_BEARER = re.compile(r"(\bbearer\s{1,2})[\w.~+/=-]{16,}", re.IGNORECASE)
_PRIVATE_KEY = re.compile(r"(-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----).*?(?=-----END|\Z)", re.DOTALL)
_ISSUED = re.compile(  # tokens that say by their beginning who issued them; the last is a JWT
    r"\b(?:AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|gh[pousr]_\w{20,255}|github_pat_\w{20,255}"
    r"|glpat-[\w-]{20,64}|xox[abeprs]-[\w-]{10,255}|AIza[\w-]{35}|[sr]k_(?:live|test)_\w{16,255}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"
)
_ISSUERS = (
    "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox",
    "AIza", "k_live_", "k_test_", "eyJ",
)  # fmt: skip
_KEY = re.compile(r"(?<![\w/+=-])[A-Za-z0-9/+]{40,4096}={0,2}(?![\w/+=-])")  # base64
UNBROKEN = 20  # characters between slashes that a key of 40 has somewhere, and a path seldom
_MARK = re.compile(r"<(?:secret|email|person|phone|account|card|ip)>")
_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}(?<=[\w:])(?![\w:])")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_CARD = re.compile(  # as printed, or without gaps; times in milliseconds begin with 1
    r"(?<![\w.-])(?:[2-6]\d{13,18}|[2-6]\d{3}([ -])\d{4}\1\d{4}\1\d{1,7}"
    r"|3\d{3}([ -])\d{6}\2\d{5})(?![\w-])"
)
_SOCIAL = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")
_PHONE = re.compile(r"(?<![\w+])\+\d{1,3}[ -]?\(?\d{1,4}\)?(?:[ -]?\d{2,4}){2,4}(?![\w-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")


def concealed(text: str, mark: str = "<secret>") -> str:
    """The text with what a label calls secret replaced by `mark`.

    >>> concealed("login user=ann password=hunter ok")
    'login user=ann password=<secret> ok'
    """
    lower = text.lower()
    if "://" in text and "@" in text:
        text = _USERINFO.sub(rf"\g<1>{mark}", text)
    if "private key-----" in lower:
        text = _PRIVATE_KEY.sub(rf"\g<1>{mark}", text)
    if "bearer " in lower:
        text = _BEARER.sub(rf"\g<1>{mark}", text)
    if any(label in lower for label in _LABELS):
        text = _AUTHORIZATION.sub(rf"\g<1>{mark}", text)
        text = _LABELLED.sub(_keeping_quote(mark), text)
    if " -" in text:
        text = _OPTION.sub(rf"\g<1>{mark}", text)
    return text


def bare(signature: str) -> str:
    """The signature with what must not be stored as 0: such values are found by their words.

    What is masked already is so, too: a line is of one template before and after.

    >>> bare("mail of ann@example.com, password=hunter, card <card>")
    'mail of 0, password=0, card 0'
    """
    text = concealed(signature, "0")
    if any(issuer in text for issuer in _ISSUERS):
        text = _ISSUED.sub("0", text)
    if "@" in text:
        text = _EMAIL.sub("0", text)
    return _MARK.sub("0", text) if "<" in text else text


def masked(line: str) -> str:
    """The line with secrets and personal data replaced by what they were.

    >>> masked("mail to ann@example.com, card 4111 1111 1111 1111, Bearer abcdefgh12345678")
    'mail to <email>, card <card>, Bearer <secret>'
    """
    line = _ISSUED.sub("<secret>", concealed(line))
    if "@" in line:
        line = _EMAIL.sub("<email>", line)
    line = _SOCIAL.sub("<person>", line)
    if "+" in line:
        line = _PHONE.sub("<phone>", line)
    line = _IBAN.sub(lambda found: "<account>" if _is_iban(found[0]) else found[0], line)
    line = _KEY.sub(lambda found: "<secret>" if _is_key(found[0]) else found[0], line)
    line = _IPV4.sub(lambda found: "<ip>" if _is_address(found[0]) else found[0], line)
    if line.count(":") > 1:
        line = _IPV6.sub(lambda found: "<ip>" if _is_address(found[0]) else found[0], line)
    return _CARD.sub(lambda found: "<card>" if _is_card(found[0]) else found[0], line)


def _keeping_quote(mark: str) -> Callable[[re.Match[str]], str]:
    def replaced(found: re.Match[str]) -> str:
        value = found[0][len(found[1]) :]
        opening = re.match(r"\\?[\"']", value)
        return found[1] + (opening[0] if opening else "") + mark

    return replaced


def _is_card(written: str) -> bool:
    """Luhn's check, ISO/IEC 7812-1: one number of ten passes by chance."""
    digits = [int(char) for char in reversed(written) if char.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


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
