"""What a server offers: the keywords of its answer to EHLO (RFC 5321 4.1.1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rmail_relay.client.reply import Reply


@dataclass(frozen=True, slots=True)
class Extensions:
    """Keyword in upper case -> its parameters. The name the server gave itself is `host`."""

    host: str = ""
    keywords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, reply: Reply) -> Extensions:
        """From the answer to EHLO; the first line is the greeting."""
        keywords: dict[str, tuple[str, ...]] = {}
        for line in reply.lines[1:]:
            # "AUTH=LOGIN" is an older way to write it
            words = line.replace("=", " ", 1) if line[:5].upper() == "AUTH=" else line
            keyword, *parameters = words.split() or [""]
            keywords[keyword.upper()] = tuple(map(str.upper, parameters))
        return cls(_host(reply), keywords)

    @classmethod
    def none(cls, reply: Reply) -> Extensions:
        """From the answer to HELO."""
        return cls(_host(reply))

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @property
    def max_size_bytes(self) -> int | None:
        """The largest message that is taken (RFC 1870 4); None: nothing was said."""
        size = next(iter(self.keywords.get("SIZE", ())), "0")
        return (int(size) or None) if size.isascii() and size.isdigit() and len(size) < 20 else None

    def limit(self, name: str) -> int | None:
        """MAILMAX or RCPTMAX of LIMITS (RFC 9422 4); None: nothing sensible was said."""
        for parameter in self.keywords.get("LIMITS", ()):
            key, _, value = parameter.partition("=")
            if key == name and value.isascii() and value.isdigit() and 0 < len(value) <= 6:
                return int(value) or None
        return None

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The ways to log in (RFC 4954 3)."""
        return self.keywords.get("AUTH", ())


def _host(reply: Reply) -> str:
    words = reply.lines[0].split()
    return words[0].lower().rstrip(".") if words else ""
