"""What happened in one run, step by step: kept as values, told in words, and summed up in a digest."""

import hashlib
from collections.abc import Iterator

Happening = tuple[float, str, str]  # seconds since the beginning, who, what


class Schedule:
    """The happenings of one run in their order."""

    def __init__(self) -> None:
        self.happenings: list[Happening] = []

    def note(self, at: float, who: str, what: str) -> None:
        self.happenings.append((at, who, what))

    def digest(self) -> str:
        """The same for two runs only if the same happened in both."""
        return hashlib.sha256(repr(self.happenings).encode()).hexdigest()

    def lines(self) -> Iterator[str]:
        """One line each: when, who, what."""
        width = max((len(who) for _, who, _ in self.happenings), default=0)
        for at, who, what in self.happenings:
            days, seconds = divmod(at, 86_400)
            clock = f"{seconds // 3600:02.0f}:{seconds // 60 % 60:02.0f}:{seconds % 60:06.3f}"
            yield f"{f'day {days:.0f} ' if days else ''}{clock}  {who:{width}}  {what}"
