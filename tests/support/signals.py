"""Reading the signal masks that Linux shows of a process."""

_OF_THE_C_LIBRARY = (32, 33)
"""Its own two; a subprocess of Python 3.13 may be started with them ignored."""


def signals_in(mask: str) -> list[int]:
    """The numbers of the signals in a mask, but for those that belong to the C library."""
    bits = int(mask, 16)
    numbers = [number for number in range(1, 65) if bits >> (number - 1) & 1]
    return [number for number in numbers if number not in _OF_THE_C_LIBRARY]
