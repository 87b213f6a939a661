"""Values: frozen records that cost little, for decisions that make many of them."""

from msgspec import Struct, structs


class Value(Struct, frozen=True, gc=False):
    """A frozen record, made ten times as fast as a frozen dataclass.

    It can hold only what was there before it, so it is never part of a cycle: the garbage collector passes it over.
    """


changed = structs.replace  # changed(value, field=...) is the same value but for these fields
