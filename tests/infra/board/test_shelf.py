"""Who is told what of rows that change, come and go."""

from __future__ import annotations

from wardstream.infra.board.shelf import Audience, Shelf

ALL = Audience(None, operator=False)
OPERATOR = Audience(None, operator=True)
HERE = Audience(frozenset({"4B"}), operator=False)
THERE = Audience(frozenset({"ICU"}), operator=False)


def test_who_sleeps_is_told_the_newest_once() -> None:
    shelf = Shelf[str]()
    for version in range(1, 100):
        assert shelf.put("a", "4B", b"%d" % version, b"%d" % version, version)
    shelf.put("b", "4B", b"b", b"b", 50)
    assert not shelf.put("b", "4B", b"b", b"b", 100)  # the same again is no change
    assert shelf.since(40, ALL) == ([b"99", b"b"], [])
    assert shelf.since(99, ALL) == ([], [])


def test_units_hide_rows_and_a_move_takes_them_away() -> None:
    shelf = Shelf[str]()
    shelf.put("a", "4B", b"a", b"a", 1)
    shelf.put("x", None, b"x", b"x", 2)
    assert (shelf.whole(HERE), shelf.whole(THERE), shelf.whole(ALL)) == ([b"a"], [], [b"a", b"x"])
    shelf.put("a", "ICU", b"A", b"A", 3)
    assert shelf.since(2, HERE) == ([], ["a"])
    assert shelf.since(2, THERE) == ([b"A"], [])
    assert shelf.since(2, ALL) == ([b"A"], [])
    shelf.remove("a", 4)
    assert shelf.since(3, HERE) == ([], [])
    assert shelf.since(3, THERE) == ([], ["a"])
    assert shelf.since(2, ALL) == ([], ["a"])
    shelf.put("a", "4B", b"back", b"back", 5)
    assert shelf.since(1, HERE) == ([b"back"], [])


def test_operators_are_told_more() -> None:
    shelf = Shelf[str]()
    shelf.put("silent", "4B", None, b"s", 1)
    shelf.put("both", "4B", b"b", b"B", 1)
    assert shelf.whole(ALL) == [b"b"]
    assert shelf.whole(OPERATOR) == [b"s", b"B"]
    assert shelf.since(0, HERE) == ([b"b"], [])


def test_what_has_gone_is_remembered_for_a_while() -> None:
    shelf = Shelf[str](remembered=10)
    for number in range(30):
        shelf.put(f"{number}", "4B", b"-", b"-", 2 * number + 1)
        shelf.remove(f"{number}", 2 * number + 2)
    assert shelf.since(10, ALL) is None
    changes = shelf.since(50, ALL)
    assert changes is not None
    assert sorted(changes.gone) == ["25", "26", "27", "28", "29"]
