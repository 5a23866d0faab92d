"""Rooms of a class: where the presenter is, and what the room predicted. In the server's memory only, without names."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

MOST_ROOMS = 50
MOST_ANSWERS = 300
"""Of a room to one question; who comes later is told so."""
IDLE_S = 4 * 3600.0
"""A room that nobody presented in for so long is forgotten."""
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without those that look alike."""

Question = tuple[str, int]
"""Name of the lesson, and place of the step from 0."""


@dataclass
class _Room:
    host: str
    place: Question
    seen: float
    answers: dict[Question, dict[str, str]] = field(default_factory=dict)


class Rooms:
    """All rooms of this server. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rooms: OrderedDict[str, _Room] = OrderedDict()

    def opened(self, place: Question, now: float | None = None) -> tuple[str, str]:
        """A new room's code, which everybody may know, and the presenter's key. The room idle longest makes way."""
        moment = time.monotonic() if now is None else now
        with self._lock:
            for code in [code for code, room in self._rooms.items() if moment - room.seen > IDLE_S]:
                del self._rooms[code]
            while len(self._rooms) >= MOST_ROOMS:
                self._rooms.popitem(last=False)
            code = _new_code(self._rooms)
            self._rooms[code] = _Room(secrets.token_hex(8), place, moment)
            return code, self._rooms[code].host

    def is_host(self, code: str, key: str) -> bool:
        """Whether `key` is the presenter's key of the room."""
        with self._lock:
            room = self._rooms.get(code)
            return room is not None and secrets.compare_digest(room.host.encode(), key.encode("utf-8", "replace"))

    def moved(self, code: str, place: Question) -> None:
        """The presenter has gone to `place`."""
        with self._lock:
            room = self._rooms.get(code)
            if room is not None:
                room.place, room.seen = place, time.monotonic()
                self._rooms.move_to_end(code)

    def place(self, code: str) -> Question | None:
        """Where the presenter is; None for a room that does not exist (any more)."""
        with self._lock:
            room = self._rooms.get(code)
            return None if room is None else room.place

    def answer(self, code: str, question: Question, who: str, said: str) -> bool:
        """Keep what one tab says, in place of what it said before; False where the room is gone or full.

        `who` is random and of one tab; it tells nobody who is behind it.
        """
        with self._lock:
            room = self._rooms.get(code)
            # A question exists only where the presenter can be: nobody can fill the memory with others.
            if room is None or (question not in room.answers and len(room.answers) >= 100):
                return False
            answers = room.answers.setdefault(question, {})
            if who not in answers and len(answers) >= MOST_ANSWERS:
                return False
            answers[who] = said[:40]
            return True

    def answers(self, code: str, question: Question) -> list[str]:
        """What the room said, in no order that tells who said it."""
        with self._lock:
            room = self._rooms.get(code)
            return [] if room is None else sorted(room.answers.get(question, {}).values())

    def reset(self, code: str, question: Question) -> None:
        """Forget what the room said to a question."""
        with self._lock:
            room = self._rooms.get(code)
            if room is not None:
                room.answers.pop(question, None)


def _new_code(taken: OrderedDict[str, _Room]) -> str:
    while True:
        code = "".join(secrets.choice(_LETTERS) for _ in range(5))
        if code not in taken:
            return code
