"""International host names that pass for others: scripts mixed, or letters that look Latin.

After UTS #39, "Unicode Security Mechanisms" (5.2, restriction level "highly restrictive", and 4.1,
whole-script confusables), with the letters that Chromium's policy on shown IDNs lists.
"""

from __future__ import annotations

import unicodedata

_EAST_ASIAN = (
    {"LATIN", "CJK", "HIRAGANA", "KATAKANA"},
    {"LATIN", "CJK", "BOPOMOFO"},
    {"LATIN", "CJK", "HANGUL"},
)
"""Scripts that are written together in one word."""

_LIKE_LATIN = {
    "CYRILLIC": frozenset("асԁеһіјӏорԛѕԝхуъьҽпгѵѡ"),
    "GREEK": frozenset("αγικνορτυχϲϳ"),
}
"""Letters that a reader takes for Latin ones."""

_PHONETIC = frozenset(
    [*map(chr, range(0x1D00, 0x1DC0)), *map(chr, range(0xA720, 0xA780)), *"ɑɡɢɪɴʀʏʟʜʙ"]
)
"""Small capitals and variants of Latin letters, which no spelling needs (UTS #39, 3.1)."""


def why_deceptive(label: str, top: str) -> str | None:
    """Why a part of a host name, in Unicode, is refused as a look-alike; None where it is not.

    `top` is the name's last part in ASCII: a word in Cyrillic that resembles a Latin one is as
    it should be below a Cyrillic top-level domain.
    """
    scripts = {script for script in map(_script, label) if script}
    if len(scripts) > 1 and not any(scripts <= together for together in _EAST_ASIAN):
        return f"mixes scripts ({', '.join(sorted(scripts)).lower()})"
    if not _PHONETIC.isdisjoint(label):
        return "has phonetic letters that look like plain ones"
    if top.startswith("xn--"):
        return None
    letters = {letter for letter in label if _script(letter)}
    for script, like_latin in _LIKE_LATIN.items():
        if scripts == {script} and letters <= like_latin:
            return f"is {script.lower()} but looks latin"
    return None


def _script(letter: str) -> str | None:
    """The script of a letter or a mark by its Unicode name; None for what all scripts share."""
    if unicodedata.category(letter)[0] not in "LM":
        return None
    word = unicodedata.name(letter, "UNKNOWN").split()[0].partition("-")[0]
    if word == "COMBINING":
        return None
    return "CJK" if word == "IDEOGRAPHIC" else word
