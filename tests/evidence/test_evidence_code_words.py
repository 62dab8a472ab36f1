"""Every code of the protocol is explained to people in both languages."""

from evidence.code_words import CODE_WORDS
from evidence.errors import Code


def test_every_code_has_words_in_both_languages() -> None:
    assert set(CODE_WORDS) == set(Code)
    for zh, en in CODE_WORDS.values():
        assert any("\u4e00" <= character <= "\u9fff" for character in zh)
        assert en.endswith(".")
