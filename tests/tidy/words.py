"""Words that stand nowhere in the project.

It is built on some machine, by somebody, from some registry, for some reason on a list; none of
that is the reader's concern, and each such word is wrong on the next machine. The words are put
together here from halves, so that this file keeps the rule that it checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.tidy.project import Finding

_REGISTRIES = (
    *(
        "pypi" + ".org",
        "python" + "hosted.org",
        "npm" + "js.org",
        "npm" + "js.com",
        "node" + "source.com",
    ),
    *(
        "deb.debian" + ".org",
        "security.debian" + ".org",
        "archive.ubuntu" + ".com",
        "ports.ubuntu" + ".com",
    ),
    *(
        "security.ubuntu" + ".com",
        "crates" + ".io",
        "ghcr" + ".io",
        "docker" + ".io",
        "registry.yarn" + "pkg.com",
    ),
)
_MAKING_OF = (
    "this" + " session",
    "AI" + " assistant",
    "language" + " model",
    "sub" + "agent",
    "issues" + " show",
)

FORBIDDEN: dict[str, re.Pattern[str]] = {
    "a path of the machine it was built on": re.compile(r"(?<![\w.~/-])/(?:work|root|home/\w+)/"),
    "the number of an issue": re.compile(r"\bissue\s+#?\d", re.IGNORECASE),
    "the host of a package registry": re.compile(
        "|".join(map(re.escape, _REGISTRIES)), re.IGNORECASE
    ),
    "a word about how the project was made": re.compile(
        rf"\b(?:{'|'.join(_MAKING_OF)})s?\b", re.IGNORECASE
    ),
}


def check_words(text: str) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in FORBIDDEN.items():
            found = pattern.search(line)
            if found:
                yield Finding(number, f"{what}: {found[0]!r}")
