"""Waiting: the line before a lock, first come first served.

The kernel's own queue for a native lock cannot be left at a deadline, and asking again and again is slow and unfair.
So those who wait stand in a line in the sidecar, and whoever gives the lock back wakes the first of them:

    waiter  writes its arrival and the name of its bell into a free place of the line
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
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from math import ceil

from oarlock.locking.files import read_at, write_at
from oarlock.locking.forks import no_fork
from oarlock.locking.sidecar import LINE_OFFSET, SIZE

#: The first in line looks this often whether the owner died without ringing: a hand-over takes half of it.
FIRST_BACKSTOP_MS = 1
#: The others look this often whether everyone before them died.
OTHERS_BACKSTOP_MS = 10
#: After a second the holder is a long one; then looking four times more seldom costs little and saves the processor.
PATIENT_AFTER_S, PATIENT_FACTOR = 1.0, 4
#: Who was rung so often in a row and is still first is stopped, or slow: the next is rung. It can stand in line again.
RINGS = 3
#: Until the first in line has waited so long, a newcomer may pass: a free lock need not wait for a sleeper to wake.
PASSING_NS = 1_000_000
#: Without bells: from the first to the longest pause between two tries.
POLL_FIRST_S, POLL_LONGEST_S = 0.000_05, 0.002

_PLACES = 64
#: The line: when each arrived (0: the place is free), then the number of each one's bell.
_ARRIVALS = struct.Struct(f"<{_PLACES}Q")
_NUMBER = struct.Struct("<Q")
_LINE_SIZE = SIZE - LINE_OFFSET
_NOBODY = bytes(_LINE_SIZE)
_FREE = bytes(_NUMBER.size)
_BELL_PREFIX = b"\0oarlock-"


class _Bell:
    """A socket that others write one byte to."""

    def __init__(self) -> None:
        import socket  # for those who wait alone: who attaches and never waits is spared its import

        self.name = os.urandom(_NUMBER.size)
        self._quietly = socket.MSG_NOSIGNAL
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self.socket.bind(_BELL_PREFIX + self.name)
        except BaseException:
            self.socket.close()
            raise
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLIN)
        self._rung = False

    def wait(self, milliseconds: int) -> None:
        """Sleep until rung, or for so long."""
        self._rung = bool(self._poll.poll(milliseconds))

    def silence(self) -> None:
        """Use up the ring that ended the last sleep; one that came later ends the next, which does no harm."""
        if self._rung:
            self._rung = False
            with suppress(BlockingIOError):
                self.socket.recv(8)

    def ring(self, name: bytes) -> bool:
        """Ring another's bell; False if nobody is there."""
        try:
            self.socket.sendto(b"!", self._quietly, _BELL_PREFIX + name)
        except OSError:
            return False
        return True


class Line:
    """This process's view of the line; used by one thread at a time."""

    def __init__(self) -> None:
        self._bell: _Bell | None = None
        self._place = 0
        #: Who was rung last, by arrival, and how often in a row.
        self._rung, self._times = 0, 0

    def open(self) -> None:
        """Make the bell, where the system has such a thing."""
        if self._bell is None and sys.platform == "linux":
            try:
                with no_fork():
                    self._bell = _Bell()
                self._place = self._bell.name[0] % _PLACES
            except OSError:
                self._bell = None  # a sandbox without sockets, or no descriptor left: tries and pauses do

    def close(self) -> None:
        """Close the bell."""
        if self._bell is not None:
            self._bell.socket.close()
        self._bell = None

    def lets_pass(self, fd: int) -> bool:
        """Tell whether a newcomer may try for the lock: nobody waits, or nobody has waited for long."""
        line = read_at(fd, _LINE_SIZE, LINE_OFFSET)
        if line == _NOBODY:
            return True
        first = min(filter(None, _ARRIVALS.unpack_from(line.ljust(_LINE_SIZE, b"\0"))), default=0)
        return not first or time.monotonic_ns() - first < PASSING_NS

    def ring(self, fd: int) -> bool:
        """Wake the earliest of those who wait; False if nobody could be."""
        line = read_at(fd, _LINE_SIZE, LINE_OFFSET)
        if line == _NOBODY:
            return False
        self.open()
        bell = self._bell
        if bell is None:
            return False
        line = line.ljust(_LINE_SIZE, b"\0")
        arrivals = list(_ARRIVALS.unpack_from(line))
        while arrived := min(filter(None, arrivals), default=0):
            place = arrivals.index(arrived)
            name = line[_bell_at(place) : _bell_at(place + 1)]
            self._times = self._times + 1 if arrived == self._rung else 1
            self._rung = arrived
            if name != bell.name and self._times <= RINGS and bell.ring(name):
                return True
            write_at(fd, _FREE, LINE_OFFSET + _arrival_at(place))
            arrivals[place] = 0
        return False

    def wait(self, fd: int, take: Callable[[], bool], left: Callable[[], float]) -> bool:
        """Wait in line until ``take`` says True.

        Args:
            fd: the sidecar.
            take: one try to get the lock.
            left: how many seconds to wait longer, asked after every try; False is returned when it says 0.
        """
        self.open()
        bell = self._bell
        if bell is None:
            return _ask_again(take, left)
        arrived = time.monotonic_ns()
        started = time.monotonic()
        taken = False
        try:
            while not taken and (remaining := left()) > 0:
                bell.silence()
                first = self._stand(fd, arrived, bell.name)
                # Between the last try and standing in line the lock may have been given back, and nobody rung.
                taken = first and take()
                if not taken:
                    bell.wait(min(_backstop_ms(first, time.monotonic() - started), ceil(remaining * 1000)))
                    taken = take()
            return taken
        finally:
            with suppress(OSError):
                # Unread: should another have taken this place by mischance, it stands again at its next backstop.
                write_at(fd, _FREE, LINE_OFFSET + _arrival_at(self._place))
                if not taken:
                    self.ring(fd)  # this process may have been rung on its way out: hand the turn on

    def _stand(self, fd: int, arrived: int, name: bytes) -> bool:
        """Make sure of a place in line; True if it is the first."""
        line = read_at(fd, _LINE_SIZE, LINE_OFFSET).ljust(_LINE_SIZE, b"\0")
        arrivals = _ARRIVALS.unpack_from(line)
        mine = self._place
        if arrivals[mine] != arrived or line[_bell_at(mine) : _bell_at(mine + 1)] != name:
            # The last place first, where the bell's name still stands. A new process begins to look somewhere else than
            # others: two who choose one place at once overwrite each other.
            free = (place % _PLACES for place in range(mine, mine + _PLACES) if not arrivals[place % _PLACES])
            place = next(free, None)
            if place is not None:
                self._place = place
                if line[_bell_at(place) : _bell_at(place + 1)] != name:
                    write_at(fd, name, LINE_OFFSET + _bell_at(place))
                write_at(fd, _NUMBER.pack(arrived), LINE_OFFSET + _arrival_at(place))
        return arrived <= min(filter(None, arrivals), default=arrived)


def _arrival_at(place: int) -> int:
    return place * _NUMBER.size


def _bell_at(place: int) -> int:
    return _ARRIVALS.size + place * _NUMBER.size


def _backstop_ms(first: bool, waited_s: float) -> int:
    backstop = FIRST_BACKSTOP_MS if first else OTHERS_BACKSTOP_MS
    return backstop * PATIENT_FACTOR if waited_s > PATIENT_AFTER_S else backstop


def _ask_again(take: Callable[[], bool], left: Callable[[], float]) -> bool:
    pause = POLL_FIRST_S
    while not take():
        remaining = left()
        if remaining <= 0:
            return False
        time.sleep(min(pause, remaining))
        pause = min(pause * 2, POLL_LONGEST_S)
    return True
