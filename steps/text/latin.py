"""Latin words in Mandarin text: abbreviations spelled out, letter by letter."""

import re

# The names that speakers of Mandarin give to the English letters, as near as pinyin comes to them.
LETTERS = {
    "A": "ei1", "B": "bi4", "C": "xi1", "D": "di4", "E": "yi4", "F": "ai2 fu5", "G": "ji4", "H": "ai2 chi5", "I": "ai4",
    "J": "zhei4", "K": "kei1", "L": "ai2 lou5", "M": "ai2 mu5", "N": "en1", "O": "ou1", "P": "pi4", "Q": "qiu1",
    "R": "a1 er5", "S": "ai2 si5", "T": "ti4", "U": "you1", "V": "wei1", "W": "da2 bu5 liu5", "X": "ai2 ke4 si5",
    "Y": "wai4", "Z": "zei2",
}
WITHOUT_VOWEL = re.compile("[b-df-hj-np-tv-z]+")


def spell(word: str) -> tuple[str, ...]:
    """The syllables of an abbreviation: one letter, capitals (CEO), or no vowel (ktv); empty for other words, which one
    reads as a whole (WiFi, hello) and nobody knows how but a user's dictionary."""
    if len(word) == 1 or word.isupper() or WITHOUT_VOWEL.fullmatch(word):
        return tuple(syllable for letter in word.upper() for syllable in LETTERS[letter].split())
    return ()
