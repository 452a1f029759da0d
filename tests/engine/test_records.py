"""What captions and keys may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import (
    MAX_CAPTION_CHARS,
    MAX_KEY_BYTES,
    REJECT_CODES,
    check_key,
    clean_caption,
    counts_as_failure,
    is_utf8,
    native_code,
    printable,
)

ANY_TEXT = st.text(st.characters(exclude_categories=[])) | st.text()


@given(ANY_TEXT | st.binary())
def test_a_caption_is_usable_or_has_a_code(value: object) -> None:
    text, code = clean_caption(value)
    assert bool(text) == (code in (None, "caption_cut"))
    assert code is None or code in REJECT_CODES
    assert text == text.strip()
    assert "\0" not in text
    text.encode("utf-8")


@given(ANY_TEXT)
def test_cleaning_again_changes_nothing(value: str) -> None:
    text, _ = clean_caption(value)
    assert not text or clean_caption(text) == (text, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (" a dog\n", ("a dog", None)),
        ("\ufeffx".encode(), ("x", None)),
        ("", ("", "caption_empty")),
        (" \t\u3000", ("", "caption_empty")),
        ("a\0b", ("", "caption_nul")),
        ("a\ud800", ("", "caption_not_utf8")),
        (b"\xff\xfe", ("", "caption_not_utf8")),
        (None, ("", "caption_not_text")),
        (3.5, ("", "caption_not_text")),
        ("x" * MAX_CAPTION_CHARS, ("x" * MAX_CAPTION_CHARS, None)),
        ("x" * MAX_CAPTION_CHARS + "y", ("x" * MAX_CAPTION_CHARS, "caption_cut")),
    ],
)
def test_caption_rules(value: object, expected: tuple[str, str | None]) -> None:
    assert clean_caption(value) == expected


@pytest.mark.parametrize("key", ["", "a\0", "\udc80", None, 7, b"k", "é" * (MAX_KEY_BYTES // 2 + 1)])
def test_keys_that_cannot_be_stored(key: object) -> None:
    assert check_key(key)


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=100))
def test_other_keys_can(key: str) -> None:
    assert check_key(key) is None


@given(ANY_TEXT)
def test_printable_can_be_stored(text: str) -> None:
    shown = printable(text)
    assert is_utf8(shown)
    assert "\0" not in shown


def test_codes_are_snake_case_and_explained() -> None:
    for code, entry in REJECT_CODES.items():
        assert code == code.lower()
        assert code.isidentifier()
        assert len(entry.meaning) > 10
    assert not counts_as_failure("duplicate_key")
    assert counts_as_failure(native_code("TOO_LARGE"))
