"""Messages survive their JSON; everything that is no message is refused by its path."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync import (
    ContentRef,
    ItemResult,
    Live,
    LiveSample,
    MessageError,
    PulledItem,
    PullResult,
    Push,
    PushItem,
    PushResult,
    Status,
    TileAnswer,
    TileWanted,
)
from sync.messages import MAX_ITEMS

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
COUNT = st.integers(0, 2**53 - 1)
TEXTS = st.lists(TEXT, max_size=4).map(tuple)
MESSAGES = st.one_of(
    st.builds(Push, st.lists(st.builds(PushItem, TEXT, st.none() | TEXTS), max_size=3).map(tuple)),
    st.builds(
        PushResult,
        st.lists(st.builds(ItemResult, TEXT, st.sampled_from(Status), *[st.none() | TEXT] * 4), max_size=3).map(tuple),
    ),
    st.builds(
        PullResult,
        st.lists(st.builds(PulledItem, COUNT, TEXT, TEXT), max_size=3).map(tuple),
        COUNT,
        st.lists(st.builds(ContentRef, TEXT, COUNT), max_size=3).map(tuple),
        st.lists(st.builds(TileWanted, TEXT, COUNT, COUNT), max_size=3).map(tuple),
    ),
    st.builds(
        Live,
        st.lists(st.builds(LiveSample, TEXT, TEXT, st.none() | TEXT, TEXT, TEXT), max_size=3).map(tuple),
    ),
    st.builds(TileAnswer, TEXT, COUNT, COUNT, COUNT, TEXT, TEXTS, TEXTS, TEXTS),
)


@given(MESSAGES)
def test_messages_survive_their_json(message: Any) -> None:
    assert type(message).from_json(message.to_json()) == message


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ""),
        ("[]", ""),
        ("{}", "items"),
        ('{"items":{}}', "items"),
        ('{"items":[1]}', "items[0]"),
        ('{"items":[{}]}', "items[0].jws"),
        ('{"items":[{"jws":1}]}', "items[0].jws"),
        ('{"items":[{"jws":"a","more":1}]}', "items[0].more"),
        ('{"items":[{"jws":"a","consistency":[1]}]}', "items[0].consistency[]"),
        ('{"items":[],"items":[]}', ""),
        ('{"items":[],"x":1.5}', ""),
        ('{"items":[],"x":NaN}', ""),
        ('{"items":[' + ",".join(['{"jws":"a"}'] * (MAX_ITEMS + 1)) + "]}", "items"),
        ('{"items":[{"jws":"' + "a" * 80_000 + '"}]}', "items[0].jws"),
        ("[" * 100_000, ""),
        (r'{"items":[{"jws":"\ud800"}]}', "items[0].jws"),
        (r'{"items":[{"jws":"a\u0000"}]}', "items[0].jws"),
    ],
)
def test_what_is_no_push_is_refused_by_its_path(text: str, path: str) -> None:
    with pytest.raises(MessageError) as caught:
        Push.from_json(text)
    assert caught.value.where == path


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_a_message_is_utf_8_without_byte_order_mark(encoding: str) -> None:
    text = Push(()).to_json()
    assert Push.from_json(text.encode()) == Push(())
    with pytest.raises(MessageError):
        Push.from_json(text.encode(encoding))
    with pytest.raises(MessageError):
        Push.from_json(f"\ufeff{text}")


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else_happens(data: bytes) -> None:
    for kind in (Push, PushResult, PullResult, Live, TileAnswer):
        with pytest.raises(MessageError):
            kind.from_json(data)


def test_an_unknown_status_keeps_the_item_in_the_queue() -> None:
    result = PushResult.from_json('{"results":[{"sid":"s","status":"someday"}]}')
    assert result.results[0].status is Status.HELD
