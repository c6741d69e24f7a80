"""How old something is, in words."""

from __future__ import annotations


def in_words(days: float) -> str:
    """A length of time as people say it: of the largest unit that there are two of.

    >>> in_words(3 / 24), in_words(1.5), in_words(12.25), in_words(0.0), in_words(730)
    ('3 hours', '36 hours', '12 days', 'less than a minute', '730 days')
    """
    hours = days * 24 + 1e-9
    minutes = hours * 60
    if minutes < 1:
        return "less than a minute"
    if minutes < 120:
        return f"{int(minutes)} minute{'' if minutes < 2 else 's'}"
    return f"{int(hours)} hours" if hours < 48 else f"{int(hours / 24):,} days"
