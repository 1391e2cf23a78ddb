"""Hanzi, pinyin, and what a syllable is made of."""
