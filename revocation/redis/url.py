"""Where a deny-list is, as a URL, and how much of that may be shown."""

import re
from typing import Final

#: A host name or an address, and its port where one is given.
HOST: Final = r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"

_SHOWN_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30}://)(?P<credentials>[^?#]*@)?"
    rf"(?P<place>(?:{HOST}(?:,{HOST})*)?(?:/[A-Za-z0-9._/%~-]*)?)(?P<more>[?#].*)?",
    re.DOTALL,
)


def redact(value: str) -> str:
    """The URL as it may be shown: without user, password and query; other text as it is.

    >>> redact("redis://default:s3cret@localhost:6379/0?password=s3cret")
    'redis://***@localhost:6379/0?***'
    """
    if "://" not in value and "@" not in value:
        return value
    # Only what is recognised is shown: a password with an unescaped "@" or "/" in it moves all the borders.
    match = _SHOWN_URL.fullmatch(value)
    if match is None:
        scheme, separator, _ = value.partition("://")
        return f"{scheme}://***" if separator and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,30}", scheme) else "***"
    credentials = "***@" if match["credentials"] else ""
    more = f"{match['more'][0]}***" if match["more"] else ""
    return f"{match['scheme']}{credentials}{match['place']}{more}"
