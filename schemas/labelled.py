"""What a label calls secret: assignments, options, headers, nested JSON, codes, private keys.

Every pattern takes a step for each character a bounded number of times, however hostile the
text is: what repeats is bounded or possessive, and what is found is not looked at again.
"""

import base64
import re
from collections.abc import Callable

WORDS = (  # one of them, or of KEYS, is in every text in which a label calls something secret
    "pass", "pwd", "secret", "token", "credential", "authorization", "cookie", "signature",
    "session_id", "sessionid", "sessid", "connect.sid", "sig=",
)  # fmt: skip
KEYS = tuple(
    f"{whose}{joint}key"
    for whose in (
        "api", "access", "account", "private", "encryption", "signing", "master", "functions",
        "auth",
    )
    for joint in ("", "_", "-")
)  # fmt: skip
LABELS = WORDS + KEYS
CODES = (  # the same for what calls a number of few digits secret, where it begins
    "pin", "otp", "cvv", "cvc", "one-time", "one_time", "one time", "onetime", "verification",
    "security", "mfa", "2fa", "two-factor", "two_factor",
)  # fmt: skip
NUMBERED = "pin", "otp", "cvv", "cvc", "code", "time"  # and for what it ends with
DASHES = " -", "--", '"-', "'-"
OPTIONS = (  # of a command line
    "-pass", "-pwd", "-token", "-secret", "-api", "-cred", "-access", "-private", "-auth",
    "-account", "-master", "-encryption", "-signing",
)  # fmt: skip
CLIENTS = "mysql", "mariadb", "mongo", "sshpass", "redis-cli", " login", "curl"  # with short ones
SHORT = tuple(f"{before}{o}" for before in " \"'" for o in ("-p", "-a", "-u", "--user", "--proxy"))
CERTAINLY = (  # what needs no sign of equality behind it
    "private key-----", "private key block-----", "bearer ", "basic ", "jdbc:oracle:", "sqlplus ",
    " is your ",
)  # fmt: skip

# Of a label: its name, what stands between it and its value, and the value
_NAME = (  # few first letters are quick: encryption, master and functions are met in their midst
    r"(?:pass(?:w(?:or)?d|phrase|code)|pwd|\bpass\b|se(?:cret|ss(?:ion_?)?id)|token|signature"
    r"|(?:a(?:pi|ccess|ccount|uth|(?<=ma)ster)|private|c(?<=enc)ryption|signing|t(?<=funct)ions)"
    r"[-_]?key"
    r"|c(?:redentials?|ookie|onnect\.sid)|\bsig(?==))"
)
_IS = r"\\*[\"']?\s{0,2}+(?:=>|:=|[=:])\s{0,2}+"
_QUOTED = r"\"(?:[^\"\\]|\\.)*|(?P<quote>\\+\")(?:(?!(?P=quote)).)*|'[^']*"
_PLAIN = r"[^\s\"',;&()\[\]{}<>|]+"
# A list or a mapping, whole: to the bracket that closes it, or to the end where none does
_ATOM = r"\\.|\"(?:[^\"\\]|\\.)*+\"|[^\[\]{}]"
_GROUP = rf"[\[{{](?:{_ATOM})*+[\]}}]?"
for _ in range(3):  # levels inside
    _GROUP = rf"[\[{{](?:{_ATOM}|{_GROUP})*+[\]}}]?"
_FLAGS = re.IGNORECASE | re.DOTALL
_LABELLED = re.compile(
    # the first look is nearly everywhere enough to know that there is none
    rf"((?=[pstac]){_NAME}[\w-]{{0,16}}+{_IS})(?:{_QUOTED}|{_PLAIN}|{_GROUP})",
    _FLAGS,
)
_ABOUT = (  # the end of a label that says something about a secret, and does not hold it
    "count|counts|usage|used|limit|budget|ttl|length|len|size|type|types|kind|status|state|at"
    "|age|date|time|timestamp|expiry|expired|expires|expiration|expires_in|expires_at|seconds|ms"
    "|valid|invalid|enabled|required|changed|updated|created|rotated|reset|missing|present|set"
    "|policy|bucket|attempts|retries|failures|errors|rotation|version|algorithm"
    "|method|provider|issuer|format|scope|scopes|name|names|ref|file|path|dir|url|uri|endpoint|domain"
)
_DESCRIBING = re.compile(
    rf"(?:(?i:[-_](?:{_ABOUT}))|[a-z](?:{'|'.join(map(str.title, _ABOUT.split('|')))}))"
    r"\\*[\"']?(?:[\s,;]{1,32}\\*[\"']?value\\*[\"']?)?\s{0,2}(?:[=:]>?|:=)\s{0,2}$",
)
_NUMBERS = re.compile(  # counts of tokens, as language models have them
    r"^tokens\\*[\"']?\s{0,2}[=:]>?\s{0,2}"
    r"(?:[\d.]+|[\[{](?:[\s,]*+(?:\\*[\"']?\w{1,64}+\\*[\"']?\s?[:=]\s?)?[\d.]++)*+\s*[\]}])$",
    re.IGNORECASE,
)
_NOTHING = re.compile(r"[\[{]\s*[\]}]?|true|false|null|none|nil|undefined", re.IGNORECASE)
# As in Kubernetes' environments and in headers of HTTP archives: name and value have labels each
_KEY = r"\\*[\"']?\s{0,2}[=:]\s{0,2}\\*[\"']?"
_NAMED = re.compile(
    rf"((?:name|key){_KEY}[\w.-]{{0,64}}?(?:{_NAME}|authorization)[\w-]{{0,16}}+\\*[\"']?"
    rf"[\s,;]{{1,32}}\\*[\"']?value{_IS})(?:{_QUOTED}|{_PLAIN}|{_GROUP})",
    _FLAGS,
)
_VALUED = re.compile(
    rf"(\bvalue{_IS})(?:\"(?:[^\"\\]|\\.){{1,1024}}+(?=\")|\\+\"[^\\\"]{{1,1024}}+(?=\\)"
    rf"|[^\s\"',;&\\]{{1,1024}}+)(?=\\*\"?\s?,\s{{0,2}}\\*\"?(?:name|key){_KEY}"
    rf"[\w.-]{{0,64}}?(?:{_NAME}|authorization)[\w-]{{0,16}}+\\*[\"'])",
    _FLAGS,
)
_PAIR = re.compile(  # of headers, in Python's words
    rf"(\(b?[\"'][\w-]{{0,32}}?(?:{_NAME}|authorization)[\w-]{{0,16}}+[\"'],\s?b?[\"'])"
    r"[^\"']{1,1024}+(?=[\"']\))",
    re.IGNORECASE,
)
_ELEMENT = re.compile(
    r"(<([\w:.-]{0,32}(?:passw(?:or)?d|pwd|secret|token|api[-_]?key)[\w.-]{0,16})>)"
    r"[^<]+(?=</\2>)",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(  # Digest, OAuth, AWS4-HMAC-SHA256 and the like have parameters
    r"(authorization\\*[\"']?\s{0,2}[=:]\s{0,2}\[?\\*[\"']?)(?:"
    r"(?:digest|oauth|hawk|signature|mac|[\w-]{0,8}hmac[\w-]{0,16}|scram-[\w-]{1,32})"
    r"(?:[\s,]{1,3}[\w-]{1,32}=(?:\\*\"[^\"]{0,512}+\"|[^\s,\"'\\\])}]{1,512}+))++"
    r"|(?:\w{1,16}\s{1,2})?[^\s\"',;\\\])}]+)",
    re.IGNORECASE,
)
_COOKIES = re.compile(  # those that a client sends; of one that is set, the attributes stay
    r"((?<!set-)cookies?\\*[\"']?\s{0,2}[=:]\s{0,2}\[?\\*[\"']?)"
    r"(?:[^\s=;,\"'\\<]{1,128}+=[^\s;,\"'\\]*+(?:;\s{0,2}+|(?=[\s,\"'\\]|\Z)))++",
    re.IGNORECASE,
)
_OPTION = (
    r"-(?<![\w-]-)-?(?:[^\W_]{1,20}-){0,3}(?:password|passwd|passphrase|pass|pwd|token|secret"
    r"|(?:api|access|secret|private|account|auth|master|encryption|signing)-?(?:access-?)?key"
    r"|credentials?)"
)
_SPACED = re.compile(
    rf"({_OPTION}[ =]\s{{0,2}})(?:\"[^\"]*+(?=\")|'[^']*+(?=')|[^\s-]\S*)", re.IGNORECASE
)
_LISTED = re.compile(
    rf"({_OPTION}\\*[\"']?\s{{0,2}},\s{{0,2}})(?:{_QUOTED}|[^\s\"',;()\[\]{{}}<>|-]+)", _FLAGS
)
_WORDS = r"(?:[\s\"',]{1,4}[^\s\"',|;&]{1,200}+){0,20}?[\s\"',]{0,3}[ \"']"  # of a command, some
_CLIENT = re.compile(  # short options, where the command says what they are
    rf"(\b(?:(?:mysql|mariadb)[\w-]{{0,16}}{_WORDS}-p(?=[^\s\"',])"
    rf"|(?:mongo\w{{0,8}}|(?:docker|podman|helm|oras)(?:\sregistry)?\slogin){_WORDS}-p[\s\"',]{{1,4}}"
    rf"|sshpass{_WORDS}-p[\s\"',]{{0,4}}|redis-cli{_WORDS}-a[\s\"',]{{1,4}}"
    rf"|curl{_WORDS}(?:-[uU]|--(?:proxy-)?user)[=\s\"',]{{0,4}}[^\s:\"',]{{1,64}}+:))[^\s\"',]+"
)
_USERINFO = re.compile(r"(://)(?:[^\s/@:?#]{0,128}:[^\s/?#]{1,256}|[^\s/@:?#]{16,256})(?=@)")
_DATA_SOURCE = re.compile(r"(\b[\w.-]{1,64}:)[^\s@]{1,128}(?=@(?:tcp|unix)\()")  # Go's, for MySQL
_ORACLE = re.compile(
    r"((?:jdbc:oracle:\w{1,8}:|sqlplus (?:-\w+\s){0,4})[^\s/@]{1,64}/)[^\s@]{1,128}(?=@)",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(\bbearer\s{1,2})[\w.~+/=-]{16,}", re.IGNORECASE)
_BASIC = re.compile(r"(\bbasic\s{1,2})([A-Za-z0-9+/]{8,1024}={0,2})", re.IGNORECASE)
_PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z ]{0,32}PRIVATE KEY(?: BLOCK)?-----).*?(?=-----END|\Z)", re.DOTALL
)
_SAID = r"\\*[\"']?\s{0,2}(?:=>|:=|[=:]|\bis\b)\s{0,2}\\*[\"']?"
_CODED = re.compile(  # in small letters: a cheap look for any of both
    r"(?:pin|otp|cv[vc]|(?:time|verification|security|[2m]fa|factor)[-_ ]?(?:pass)?"
    rf"(?:code|password|token))[\w -]{{0,8}}?{_SAID}[0-9]{{3}}"
)
_CVV = re.compile(
    rf"((?:cvv2?|cvc2?|\bsecurity[-_ ]?code){_SAID})[0-9]{{3,4}}(?!\w|[.-][0-9])", re.IGNORECASE
)
_CODE = re.compile(  # a pin of fewer than four digits is one of a connector
    r"((?:(?<![^\W_])(?:pin(?:[-_ ]?(?:code|number))?|[th]?otp(?:[-_ ]?code)?"
    r"|(?:one[-_ ]?time|verification|security|mfa|2fa|two[-_ ]?factor)[-_ ]?"
    r"(?:pass)?(?:code|pin|password|token))|(?-i:(?<=[a-z])(?:Pin|Otp)(?:Code)?))"
    rf"{_SAID})(?:[0-9]{{3}}[ -][0-9]{{3}}|[0-9]{{4,12}})(?!\w|[.-][0-9])",
    re.IGNORECASE,
)
_YOURS = re.compile(
    r"(?<![\w.-])[0-9]{4,8}"
    r"(?= is your (?:\w{1,20} ){0,2}(?:verification|security|one-time|otp|pin)\b)",
    re.IGNORECASE,
)


def concealed(text: str, mark: str = "<secret>") -> str:
    """The text with what a label calls secret replaced by `mark`.

    >>> concealed("login user=ann password=hunter ok")
    'login user=ann password=<secret> ok'
    """
    lower = text.lower()
    if "@" in text:
        text = _addressed(text, lower, rf"\g<1>{mark}")
    if "private key" in lower:
        text = _PRIVATE_KEY.sub(rf"\g<1>{mark}", text)
    if "bearer " in lower:
        text = _BEARER.sub(rf"\g<1>{mark}", text)
    if "basic " in lower:
        text = _BASIC.sub(lambda found: found[1] + mark if _is_pair(found[2]) else found[0], text)
    if any(word in lower for word in WORDS) or ("key" in lower and any(k in lower for k in KEYS)):
        text = _assigned(text, lower, mark)
    if any(name in lower for name in NUMBERED) and _CODED.search(lower):
        text = _CVV.sub(rf"\g<1>{mark}", text)
        text = _CODE.sub(rf"\g<1>{mark}", text)
    if " is your " in lower:
        text = _YOURS.sub(mark, text)
    if text.startswith("-") or any(sign in text for sign in DASHES):
        text = _optional(text, lower, mark)
    return text


def _addressed(text: str, lower: str, shown: str) -> str:
    """What stands before the @ of an address."""
    text = _USERINFO.sub(shown, text) if "://" in text else text
    text = _DATA_SOURCE.sub(shown, text) if "(" in text else text
    if "jdbc:oracle:" in lower or "sqlplus " in lower:
        text = _ORACLE.sub(shown, text)
    return text


def _assigned(text: str, lower: str, mark: str) -> str:
    """What is the value of a name."""
    shown, replaced = rf"\g<1>{mark}", _keeping_quote(mark)
    if "authorization" in lower:
        text = _AUTHORIZATION.sub(shown, text)
    if "cookie" in lower:
        text = _COOKIES.sub(shown, text)
    if "value" in lower:
        text = _VALUED.sub(_keeping_quote(mark), _NAMED.sub(replaced, text))
    text = _PAIR.sub(shown, text) if "('" in text or "(b'" in text or '("' in text else text
    text = _LABELLED.sub(replaced, text)
    return _ELEMENT.sub(shown, text) if "</" in text else text


def _optional(text: str, lower: str, mark: str) -> str:
    """What is the value of an option."""
    replaced = _keeping_quote(mark)
    if any(option in lower for option in OPTIONS):
        text = _SPACED.sub(replaced, text)
        text = _LISTED.sub(replaced, text) if "," in text else text
    if any(client in text for client in CLIENTS):
        text = _CLIENT.sub(rf"\g<1>{mark}", text)
    return text


def _keeping_quote(mark: str) -> Callable[[re.Match[str]], str]:
    def replaced(found: re.Match[str]) -> str:
        label, value = found[1], found[0][len(found[1]) :]
        if _is_harmless(label, value):
            return found[0]
        opening = re.match(r"\\*[\"']", value)
        return label + (opening[0] if opening else "") + mark

    return replaced


def _is_harmless(label: str, value: str) -> bool:
    """Whether the label says something about a secret, or there is none in the value."""
    joined = "_" in label or "-" in label or not label.islower()
    if joined and _DESCRIBING.search(label):
        return True
    return bool(_NOTHING.fullmatch(value) or (label[0] in "tT" and _NUMBERS.match(label + value)))


def _is_pair(written: str) -> bool:
    """Whether it is base64 of a user and a password, as HTTP's Basic scheme has them."""
    try:
        return b":" in base64.b64decode(written + "=" * (-len(written) % 4))
    except ValueError:
        return False
