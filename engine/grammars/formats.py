"""What text of each `format` of JSON Schema looks like, where it stands bare and not in JSON.

These are the formats that the grammar library knows: others ask nothing. All conditions of a
format hold of its text. Times are of RFC 3339, durations of its appendix A, addresses of RFC 3986,
5321 and 4291, numbers of years and of seconds in nine digits at most.
"""

from __future__ import annotations

_YEAR = "[0-9]{4}"
_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    f"|{_LEAP_YEAR}-02-29)"
)
_HOUR, _SIXTIETH = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]"
_TIME = rf"{_HOUR}:{_SIXTIETH}:{_SIXTIETH}(?:\.[0-9]{{1,9}})?(?:Z|[+-]{_HOUR}:{_SIXTIETH})"


def _falling(units: str) -> str:
    """One of these units, and then each that follows without a gap."""
    ways: list[str] = []
    rest = ""
    for unit in reversed(units):
        rest = f"[0-9]{{1,9}}{unit}" + (f"(?:{rest})?" if rest else "")
        ways.append(rest)
    return f"(?:{'|'.join(ways)})"


_DURATION = f"P(?:[0-9]{{1,9}}W|{_falling('YMD')}(?:T{_falling('HMS')})?|T{_falling('HMS')})"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = rf"{_LABEL}(?:\.{_LABEL})*"
_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_BYTE}(?:\.{_BYTE}){{3}}"
_HEX = "[0-9A-Fa-f]{1,4}"
_IPV6 = "|".join(
    (
        f"(?:{_HEX}:){{7}}{_HEX}",
        f"(?:{_HEX}:){{6}}{_IPV4}",
        f"(?:{_HEX}:){{1,7}}:",
        *(f"(?:{_HEX}:){{1,{7 - behind}}}(?::{_HEX}){{1,{behind}}}" for behind in range(1, 7)),
        # An address of the older kind stands for two groups.
        *(f"(?:{_HEX}:){{1,{5 - behind}}}(?::{_HEX}){{0,{behind}}}:{_IPV4}" for behind in range(5)),
        f":(?::{_HEX}){{1,7}}",
        f":(?::{_HEX}){{0,5}}:{_IPV4}",
        "::",
    )
)
_PORT = "(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3})"
_NAME_CHAR = "(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_PATH_CHAR = f"(?:{_NAME_CHAR}|[:@])"
_AUTHORITY = rf"(?:(?:{_NAME_CHAR}|:)*@)?(?:{_NAME_CHAR}+|\[(?:{_IPV6})\])(?::{_PORT})?"
_URI = (
    "[A-Za-z][A-Za-z0-9+.-]*:"
    # Before a path on this machine stands no authority.
    f"(?://{_AUTHORITY}|(?://)?/{_PATH_CHAR}+|{_PATH_CHAR}+)(?:/{_PATH_CHAR}*)*"
    rf"(?:\?(?:{_PATH_CHAR}|[/?])*)?(?:#(?:{_PATH_CHAR}|[/?])*)?"
)

FORMATS: dict[str, tuple[str, ...]] = {
    "date": (_DATE,),
    "time": (_TIME,),
    "date-time": (f"{_DATE}T{_TIME}",),
    "duration": (_DURATION,),
    "email": (f"(?:{_ATOM})(?:\\.{_ATOM})*@{_HOSTNAME}", "[^@]{1,64}@.{1,253}"),
    "hostname": (_HOSTNAME, ".{1,253}"),
    "ipv4": (_IPV4,),
    "ipv6": (_IPV6,),
    "uuid": ("[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}",),
    "uri": (_URI,),
}
