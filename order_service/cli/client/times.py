"""How moments are written for people: in the zone of their machine, with the date where it is not today's."""

from datetime import datetime, tzinfo


class Times:
    """Writes the API's moments. `zone` is the name of the zone that all of them are in."""

    def __init__(self, now: datetime | None, zone: tzinfo | None = None) -> None:
        """`now` is aware, and says what is today; without it every date is written. `zone` is this machine's."""
        local = (now or datetime.fromisoformat("1970-01-01T00:00Z")).astimezone(zone)
        self._zone, self._today = local.tzinfo, local.date() if now else None
        self.zone = local.tzname() or ""

    def __call__(self, moment: str | None, *, exact: bool = False) -> str:
        """`13:02:11`, or `2026-11-27 13:02:11`; with milliseconds if `exact`; nothing where there is no moment."""
        if not moment:
            return ""
        try:
            local = datetime.fromisoformat(moment).astimezone(self._zone)
        except (ValueError, OverflowError):  # at the end of time another zone has no such moment
            return moment
        text = f"{local:%H:%M:%S}.{local.microsecond // 1000:03}" if exact else f"{local:%H:%M:%S}"
        return text if local.date() == self._today else f"{local:%Y-%m-%d} {text}"

    def whole(self, moment: str | None) -> str:
        """A moment that stands alone: `2026-11-27 13:02:11 CET`, or `13:02:11 CET`."""
        return f"{self(moment)} {self.zone}" if moment else ""
