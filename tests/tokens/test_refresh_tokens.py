"""The form of a refresh token: made by us, in one spelling, with one successor."""

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokens import refresh_tokens
from tokens.refresh_tokens import NotARefreshToken, first, parse

FAMILY = uuid.UUID("5f0d0c9e-3a07-4b9b-9d33-2f3d3f1d8f11")


def test_what_we_made_is_read_back() -> None:
    token = first(FAMILY)
    assert parse(token.text) == token
    assert len(token.text) == refresh_tokens.TEXT_LENGTH
    assert (token.family, token.generation, len(token.digest)) == (FAMILY, 0, 32)


def test_two_first_tokens_differ_and_a_successor_is_always_the_same() -> None:
    token = first(FAMILY)
    assert token.text != first(FAMILY).text
    assert token.successor() == token.successor() == parse(token.text).successor()
    assert token.successor().generation == 1
    assert token.successor().text != token.text


def test_every_changed_character_is_noticed() -> None:
    text = first(FAMILY).text
    for position, character in enumerate(text):
        other = "A" if character != "A" else "B"
        with pytest.raises(NotARefreshToken):
            parse(text[:position] + other + text[position + 1 :])


def test_there_is_no_second_spelling() -> None:
    text = first(FAMILY).text
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    unused_bit = alphabet[alphabet.index(text[-1]) ^ 1]
    for spelling in (
        text + "=",
        text + "\n",
        " " + text,
        text[:-1] + unused_bit,
        text[:45] + "\n" + text[45:-1],
    ):
        with pytest.raises(NotARefreshToken):
            parse(spelling)


@given(st.one_of(st.text(max_size=200), st.text("Aa0-_=+/\n é", min_size=91, max_size=91)))
@settings(max_examples=200, deadline=None)
def test_anything_else_is_refused_and_never_an_error(text: str) -> None:
    with pytest.raises(NotARefreshToken):
        parse(text)
