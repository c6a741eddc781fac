"""Tokens that say by their beginning who issued them, wherever they stand."""

import re

_ISSUED = re.compile(  # the last is a JWT
    r"\b(?:AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|gh[pousr]_\w{20,255}|github_pat_\w{20,255}"
    r"|gl(?:pat|rt|dt|ptt|cbt|imt|ft|soat|agent|oas|ffct)-[\w-]{20,255}(?:\.[\w-]{2,64}){0,3}"
    r"|xox[abeprs]-[\w-]{10,255}|xapp-\d-[\w-]{16,255}|AIza[\w-]{35}|[sr]k_(?:live|test)_\w{16,255}"
    r"|whsec_[\w+/]{16,255}|sk-(?=[\w-]{0,200}\d)[\w-]{20,255}|npm_\w{30,255}|pypi-[\w-]{16,1024}"
    r"|SG\.[\w-]{16,64}\.[\w-]{16,128}|ya29\.[\w-]{20,1024}|GOCSPX-[\w-]{20,64}"
    r"|hv[sbr]\.[\w-]{20,255}|do[opr]_v1_\w{32,128}|shp(?:at|ca|pa|ss)_\w{24,64}|dapi[0-9a-f]{32}"
    r"|dckr_[po]at_[\w-]{20,64}|rubygems_[0-9a-f]{40,64}|sntry[su]_\w{8}[\w+/=-]{22,512}"
    r"|gl(?:sa|c)_\w{8}[\w=+/]{22,512}|lin_api_\w{32,64}|figd_[\w-]{30,64}|hf_[A-Za-z]{30,64}"
    r"|pscale_(?:pw|tkn|oauth)_[\w-]{30,64}|tskey-[a-z]{3,16}-[\w-]{16,64}|NRAK-[A-Z0-9]{27}"
    r"|PMAK-[0-9a-f]{24}-[0-9a-f]{34}|ATATT3\w{8}[\w=-]{32,512}|AGE-SECRET-KEY-1[0-9A-Z]{58}"
    r"|\d{8,10}:AA[\w-]{33}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"
    # addresses that whoever knows them may write to
    r"|(?<=\.slack\.com/services/)T\w{2,}/B\w{2,}/\w{4,}"
    r"|(?:(?<=\.slack\.com/workflows/)|(?<=\.slack\.com/triggers/))[TE]\w+/[\w/]{8,255}"
    r"|(?<=/api/webhooks/)\d{8,24}/[\w-]{16,128}|(?<=/IncomingWebhook/)[0-9a-f]{32}/[\w/-]{8,255})"
)
ISSUERS = (  # one of them is in every text in which such a token is
    "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "glrt-",
    "gldt-", "glptt-", "glcbt-", "glimt-", "glft-", "glsoat-", "glagent-", "gloas-", "glffct-",
    "xox", "xapp-", "AIza", "sk_live_", "rk_live_", "sk_test_", "rk_test_", "whsec_", "sk-", "npm_",
    "pypi-", "SG.", "ya29.", "GOCSPX-", "hvs.", "hvb.", "hvr.", "doo_v1_", "dop_v1_", "dor_v1_",
    "shpat_", "shpca_", "shppa_", "shpss_", "dapi", "dckr_", "rubygems_", "sntrys_", "sntryu_",
    "glsa_", "glc_", "lin_api_", "figd_", "hf_", "pscale_", "tskey-", "NRAK-", "PMAK-", "ATATT3",
    "AGE-SECRET-KEY-", ":AA", "eyJ", ".slack.com/services/", ".slack.com/workflows/",
    ".slack.com/triggers/", "/api/webhooks/", "/IncomingWebhook/",
)  # fmt: skip


def without_issued(text: str, mark: str = "<secret>") -> str:
    """The text with such tokens replaced by `mark`.

    >>> without_issued("push with ghp_" + "a1" * 18)
    'push with <secret>'
    """
    if not any(issuer in text for issuer in ISSUERS):
        return text
    return _ISSUED.sub(mark, text)
