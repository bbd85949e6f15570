from __future__ import annotations

from collections.abc import Generator

import pytest

from napari_relabel.core.progress import finish, relay


def count(to: int, log: list[str]) -> Generator[int, None, str]:
    try:
        yield from range(to)
        return "result"
    finally:
        log.append("cleaned up")


@pytest.mark.parametrize("n", [0, 1, 3])
def test_work_is_followed_to_its_result(n: int) -> None:
    seen: list[int] = []
    assert finish(count(n, []), seen.append) == "result"
    assert seen == list(range(n))
    assert finish(count(n, [])) == "result"


@pytest.mark.parametrize("n", [0, 3])
def test_steps_are_passed_on_in_other_words(n: int) -> None:
    seen: list[str] = []
    assert finish(relay(count(n, []), str), seen.append) == "result"
    assert seen == [str(i) for i in range(n)]


def test_closing_what_is_passed_on_ends_the_work() -> None:
    log: list[str] = []
    outer = relay(count(3, log), str)
    assert next(outer) == "0"
    outer.close()
    assert log == ["cleaned up"]


def test_errors_of_the_work_are_not_swallowed() -> None:
    def broken() -> Generator[int, None, None]:
        yield 1
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        finish(relay(broken(), str))
