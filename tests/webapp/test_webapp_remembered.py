"""What a process remembers: made once a key, never more than there is room for."""

from __future__ import annotations

from webapp.remembered import Remembered


def test_an_answer_is_made_once_and_the_oldest_use_is_forgotten() -> None:
    made: list[int] = []
    answers: Remembered[int] = Remembered(2)

    def ask(key: int) -> int:
        return answers.get(key, lambda: (made.append(key), key * 10)[1])

    assert [ask(key) for key in (1, 2, 1, 3, 1, 2)] == [10, 20, 10, 30, 10, 20]
    assert made == [1, 2, 3, 2]
    assert len(answers) == 2
    assert 1 in answers
    assert 3 not in answers
