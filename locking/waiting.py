"""Waiting: the line before a lock, first come first served.

The kernel's own queue for a native lock cannot be left at a deadline, and asking again and again is slow and unfair.
So those who wait stand in a line in the sidecar, and whoever gives the lock back wakes the first of them:

    waiter  writes its arrival and the number of its bell into a free place of the line
            asks for the lock; sleeps until its bell rings, the backstop passes, or the deadline
    owner   gives the lock back, then reads the line and rings the bell of the earliest
            a bell that nobody answers belongs to the dead: its place is cleared and the next is rung

A bell is a datagram socket in Linux's abstract namespace: no file, and the kernel removes it with its process. The
line only orders and wakes; the native lock alone decides who is owner. So every mishap (a ring lost, a place
overwritten, the sidecar deleted, an owner killed before it rang) costs at most one backstop. Where there are no such
sockets, waiting is asking again, 50 µs to 2 ms apart.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from oarlock.locking.files import read_at, write_at
from oarlock.locking.sidecar import LINE_OFFSET, SIZE

#: The first in line looks this often whether the owner died without ringing: a hand-over takes half of it.
FIRST_BACKSTOP_MS = 1
#: The others look this often whether everyone before them died.
OTHERS_BACKSTOP_MS = 10
#: After a second the holder is a long one; then looking four times more seldom costs little and saves the processor.
PATIENT_AFTER_S, PATIENT_FACTOR = 1.0, 4
#: Without bells: from the first to the longest pause between two tries.
POLL_FIRST_S, POLL_LONGEST_S = 0.000_05, 0.002

_PLACE = struct.Struct("<QQ")
_LINE_SIZE = SIZE - LINE_OFFSET
_PLACES = _LINE_SIZE // _PLACE.size
_NOBODY = bytes(_LINE_SIZE)
_FREE = bytes(_PLACE.size)


@dataclass(frozen=True, slots=True)
class _Waiter:
    arrived: int
    bell: int
    place: int


def _address(number: int) -> bytes:
    return b"\0oarlock-%016x" % number


class _Bell:
    """A socket that others write one byte to."""

    def __init__(self) -> None:
        self.number = int.from_bytes(os.urandom(8), "little") | 1
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self.socket.bind(_address(self.number))
        except BaseException:
            self.socket.close()
            raise
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLIN)

    def wait(self, milliseconds: int) -> None:
        """Sleep until rung, or for so long; rings in store are used up."""
        if self._poll.poll(milliseconds):
            self.silence()

    def silence(self) -> None:
        """Use up the rings in store."""
        try:
            while self.socket.recv(8):
                pass
        except BlockingIOError:
            pass

    def ring(self, number: int) -> bool:
        """Ring another's bell; False if nobody is there, or it has not answered many rings (a stopped process)."""
        try:
            self.socket.sendto(b"!", socket.MSG_NOSIGNAL, _address(number))
        except OSError:
            return False
        return True


class Line:
    """This process's view of the line; used by one thread at a time."""

    def __init__(self) -> None:
        self._bell: _Bell | None = None

    def open(self) -> None:
        """Make the bell, where the system has such a thing."""
        if self._bell is None and sys.platform == "linux":
            try:
                self._bell = _Bell()
            except OSError:
                self._bell = None  # a sandbox without sockets, or no descriptor left: tries and pauses do

    def close(self) -> None:
        """Close the bell."""
        if self._bell is not None:
            self._bell.socket.close()
        self._bell = None

    def is_empty(self, fd: int) -> bool:
        """Tell whether nobody waits."""
        line = read_at(fd, _LINE_SIZE, LINE_OFFSET)
        return line == _NOBODY or not line.strip(b"\0")

    def ring(self, fd: int) -> None:
        """Wake the earliest of those who wait."""
        if self.is_empty(fd):
            return
        self.open()
        if self._bell is None:
            return
        for waiter in self._waiters(fd):
            if waiter.bell != self._bell.number and self._bell.ring(waiter.bell):
                return
            write_at(fd, _FREE, LINE_OFFSET + waiter.place * _PLACE.size)

    def wait(self, fd: int, take: Callable[[], bool], go_on: Callable[[], bool]) -> bool:
        """Wait in line until ``take`` says True; False when ``go_on`` says so, asked at least at every backstop."""
        self.open()
        if self._bell is None:
            return self._ask_again(take, go_on)
        started = time.monotonic()
        self._bell.silence()
        entry = _PLACE.pack(time.monotonic_ns(), self._bell.number)
        taken = False
        try:
            while True:
                first = self._stand(fd, entry)
                # Between the last try and standing in line the lock may have been given back, and nobody rung.
                taken = (first and take()) or self._sleep(first, started) or take()
                if taken or not go_on():
                    return taken
        finally:
            self._leave(fd, entry)
            if not taken:
                self.ring(fd)  # this process may have been rung on its way out: hand the turn on

    def _sleep(self, first: bool, started: float) -> bool:
        assert self._bell is not None
        pause = FIRST_BACKSTOP_MS if first else OTHERS_BACKSTOP_MS
        if time.monotonic() - started > PATIENT_AFTER_S:
            pause *= PATIENT_FACTOR
        self._bell.wait(pause)
        return False

    def _waiters(self, fd: int) -> list[_Waiter]:
        line = read_at(fd, _LINE_SIZE, LINE_OFFSET)
        whole = memoryview(line)[: len(line) // _PLACE.size * _PLACE.size]
        found = [_Waiter(*facts, place) for place, facts in enumerate(_PLACE.iter_unpack(whole)) if facts[1]]
        return sorted(found, key=lambda waiter: waiter.arrived)

    def _stand(self, fd: int, entry: bytes) -> bool:
        """Make sure of a place in line; True if it is the first."""
        assert self._bell is not None
        waiters = self._waiters(fd)
        if any(waiter.bell == self._bell.number for waiter in waiters):
            return waiters[0].bell == self._bell.number
        arrived, number = _PLACE.unpack(entry)
        taken = {waiter.place for waiter in waiters}
        # Each begins to look somewhere else: two who choose one place at once overwrite each other.
        looked_at = ((number + step) % _PLACES for step in range(_PLACES))
        place = next((place for place in looked_at if place not in taken), None)
        if place is not None:
            write_at(fd, entry, LINE_OFFSET + place * _PLACE.size)
        return not waiters or arrived < waiters[0].arrived

    def _leave(self, fd: int, entry: bytes) -> None:
        number = _PLACE.unpack(entry)[1]
        for waiter in self._waiters(fd):
            if waiter.bell == number:
                write_at(fd, _FREE, LINE_OFFSET + waiter.place * _PLACE.size)

    @staticmethod
    def _ask_again(take: Callable[[], bool], go_on: Callable[[], bool]) -> bool:
        pause = POLL_FIRST_S
        while not take():
            if not go_on():
                return False
            time.sleep(pause)
            pause = min(pause * 2, POLL_LONGEST_S)
        return True
