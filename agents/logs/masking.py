"""Masking: secrets and personal data leave a line before anything of it is stored.

`masked` is for lines that are kept as evidence; `concealed` is the part of it that is about
words, for signatures, whose numbers are gone already. What is not recognisable by its shape
or its label cannot be found: a name in a sentence stays. Addresses of machines stay, too:
without them evidence is worth little.
"""

import re
from collections.abc import Callable

_LABELS = (
    "passw", "pwd", "passphrase", "secret", "token", "api_key", "apikey", "api-key",
    "access_key", "accesskey", "access-key", "private_key", "privatekey", "private-key",
    "credential", "authorization", "cookie", "signature", "session_id", "sessionid",
)  # fmt: skip
_LABELLED = re.compile(
    r"((?:passw(?:or)?d|passwd|pwd|passphrase|secret|token|(?:api|access|private)[-_]?key"
    r"|credentials?|cookie|signature|session_?id)[\w-]{0,16}\\?[\"']?\s{0,2}[=:]\s{0,2})"
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
