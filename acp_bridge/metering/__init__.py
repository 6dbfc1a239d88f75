"""Metering: what was spent, by which request, and how it is known. Pure: no I/O and no clock."""
