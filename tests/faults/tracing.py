"""A child under the tracer: stopped at every call that changes a file, there to be killed, torn, failed or held.

    fork ─→ child asks to be traced, stops itself, gives itself the filter, runs the body
              │ at each call of the filter the kernel stops the thread
              ▼
    tracer asks ``decide`` what shall happen: nothing, or one of the faults below

No more than Python and Linux is needed: ptrace and seccomp are allowed to everyone for a child of one's own.
"""

from __future__ import annotations

import atexit
import ctypes
import errno
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from syscalls import WRITES, Machine, files_of, this_machine

_TRACEME, _CONT, _SYSCALL, _SETOPTIONS, _GETREGSET, _SETREGSET = 0, 7, 24, 0x4200, 0x4204, 0x4205
_PRSTATUS, _ARM_SYSTEM_CALL = 1, 0x404
_SYSGOOD, _FORK, _VFORK, _CLONE, _EXEC, _SECCOMP, _EXITKILL = 1, 2, 4, 8, 16, 128, 0x100000
_OPTIONS = _SYSGOOD | _FORK | _VFORK | _CLONE | _EXEC | _SECCOMP | _EXITKILL
_SECCOMP_EVENT = 7
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER_MODE = 38, 22, 2
_SET_DEATH_SIGNAL = 1
_WALL = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class TracingRefused(Exception):
    """The system does not let a process trace its child."""


@dataclass(frozen=True, slots=True)
class Call:
    """One stopped call, before it is made."""

    name: str
    files: tuple[str, ...]
    size: int  # bytes to be written, where the call writes

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.files)}{f', {self.size} bytes' if self.size else ''})"


@dataclass(frozen=True, slots=True)
class Kill:
    """End the process by SIGKILL, before the call or right after it."""

    after: bool = False


@dataclass(frozen=True, slots=True)
class Tear:
    """Write only a part, then end the process by SIGKILL."""

    part: float = 0.5


@dataclass(frozen=True, slots=True)
class Fail:
    """Do not make the call; have it return an error."""

    error: int = errno.ENOSPC


@dataclass(frozen=True, slots=True)
class Shorten:
    """Write only a part, and say so: no error, as the system may."""

    part: float = 0.5


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the thread where it is while something else is done, then let it go on."""

    meanwhile: Callable[[], None]


Fault = Kill | Tear | Fail | Shorten | Hold
Decide = Callable[[Call], Fault | None]


@dataclass(slots=True)
class Ending:
    """How a child ended, and what it said."""

    pid: int = 0
    killed: bool = False
    status: int = 0
    stuck: bool = False
    said: list[Any] = field(default_factory=list)
    error: str | None = None
    finished: bool = False


def trace(body: Callable[[Callable[[Any], None]], None], decide: Decide, *, deadline_s: float = 60.0) -> Ending:
    """Run a body in a forked child, every call that changes a file being decided on.

    Args:
        body: called in the child with a function that says a plain value to the tracer.
        decide: asked at every such call, before it is made.
        deadline_s: the child is killed after so long, and the ending tells that it was stuck.

    Raises:
        TracingRefused: the system does not allow it.
    """
    machine = this_machine()
    if machine is None:
        raise TracingRefused("calls are traced on Linux on x86_64 and aarch64 only")
    hear, speak = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(hear)
        os.setpgid(0, 0)
        run_and_say(body, speak, before=lambda: _ask_to_be_traced(machine))
    os.close(speak)
    with suppress(OSError):
        os.setpgid(pid, pid)
    ending = _Tracer(machine, pid, decide).follow(deadline_s)
    with os.fdopen(hear, "rb") as pipe:
        return read_lines(pipe.read(), ending)


def fork(body: Callable[[Callable[[Any], None]], None], *, deadline_s: float = 60.0) -> Ending:
    """Run a body in a forked child that nobody traces; one that takes too long is killed."""
    hear, speak = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(hear)
        run_and_say(body, speak)
    os.close(speak)
    return wait_for(pid, hear, deadline_s)


def wait_for(pid: int, hear: int, deadline_s: float) -> Ending:
    """Wait for a child that nobody traces, and hear what it said; one that takes too long is killed."""
    ending = Ending(pid)
    said = b""
    with _Alarm(deadline_s) as alarm:
        try:
            while block := os.read(hear, 1 << 16):
                said += block
            ending.status = os.waitpid(pid, 0)[1]
        except _Late:
            alarm.off()
            os.kill(pid, signal.SIGKILL)
            ending.status = os.waitpid(pid, 0)[1]
            ending.stuck = True
    os.close(hear)
    return read_lines(said, ending)


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends, however that comes."""
    _libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def run_and_say(
    body: Callable[[Callable[[Any], None]], None], speak: int, *, before: Callable[[], None] = lambda: None
) -> None:
    """Be the child: run the body, say how it went, and end without the parent's clean-up."""

    def say(value: Any) -> None:
        os.write(speak, json.dumps(value).encode() + b"\n")

    code = 1
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
        atexit._clear()  # what the parent does at its end is not the child's to do
        before()
        body(say)
        say({"finished": True})
        code = 0
    except BaseException as error:
        told = "".join(traceback.format_exception(error))
        say({"error": told})
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def read_lines(said: bytes, ending: Ending) -> Ending:
    """Add to an ending what the child said; a line that its death tore is left off."""
    for line in said.split(b"\n")[:-1]:
        value = json.loads(line)
        if isinstance(value, dict) and "error" in value:
            ending.error = value["error"]
        elif isinstance(value, dict) and "finished" in value:
            ending.finished = True
        else:
            ending.said.append(value)
    return ending


def _ask_to_be_traced(machine: Machine) -> None:
    program = machine.filter()
    if _libc.ptrace(_TRACEME, 0, None, None):
        raise TracingRefused(f"ptrace: {os.strerror(ctypes.get_errno())}")
    os.kill(os.getpid(), signal.SIGSTOP)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]

    whole = Program(len(program) // 8, ctypes.cast(program, ctypes.c_void_p))
    if _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or _libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(whole)):
        raise TracingRefused(f"seccomp: {os.strerror(ctypes.get_errno())}")


class _Late(Exception):
    pass


class _Alarm:
    """Raises in the main thread once the time is up; one inside of another is as if the outer stood still."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> _Alarm:
        self._before = signal.signal(signal.SIGALRM, _ring)
        self._left = signal.setitimer(signal.ITIMER_REAL, self._seconds)[0]
        return self

    def off(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def __exit__(self, *error: object) -> None:
        self.off()
        signal.signal(signal.SIGALRM, self._before)
        signal.setitimer(signal.ITIMER_REAL, self._left)


def _ring(number: int, frame: object) -> None:
    raise _Late


class _Block(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Tracer:
    """Follows a child and all threads and processes that it makes, from one stop to the next."""

    def __init__(self, machine: Machine, pid: int, decide: Decide) -> None:
        self._machine, self._pid, self._decide = machine, pid, decide
        self._names = machine.names()
        self._others: set[int] = set()
        #: Threads that are killed once the call they are in has returned.
        self._leaving: set[int] = set()
        self._killed = False

    def follow(self, deadline_s: float) -> Ending:
        ending = Ending(self._pid)
        with _Alarm(deadline_s) as alarm:
            try:
                self._begin()
                ending.status = self._until_it_ends()
            except _Late:
                alarm.off()
                ending.stuck = True
                os.kill(self._pid, signal.SIGKILL)
                ending.status = self._until_it_ends()
        ending.killed = self._killed
        self._end_others()
        return ending

    def _begin(self) -> None:
        _, status = os.waitpid(self._pid, _WALL)
        if not os.WIFSTOPPED(status):
            raise TracingRefused(f"the child ended before it could be traced: status {status}")
        _ptrace(_SETOPTIONS, self._pid, 0, _OPTIONS)
        _resume(self._pid)

    def _until_it_ends(self) -> int:
        while True:
            thread, status = os.waitpid(-self._pid, _WALL)
            if os.WIFSTOPPED(status):
                self._stopped(thread, status)
            elif thread == self._pid:
                return status
            else:
                self._others.discard(thread)

    def _stopped(self, thread: int, status: int) -> None:
        if thread != self._pid:
            self._others.add(thread)
        number, event = os.WSTOPSIG(status), status >> 16
        if self._killed:
            return  # SIGKILL is on its way to all of them
        if number == _SYSCALL_STOP and thread in self._leaving:
            self._kill()
        elif event == _SECCOMP_EVENT:
            self._at_call(thread)
        elif event or number in (signal.SIGTRAP, _SYSCALL_STOP, signal.SIGSTOP):
            _resume(thread)
        else:
            _resume(thread, number)

    def _at_call(self, thread: int) -> None:
        registers = self._registers(thread)
        if registers is None:
            return
        machine = self._machine
        name = self._names.get(registers[machine.number_at], "?")
        arguments = [registers[at] for at in machine.arguments_at]
        size = arguments[2] if name in WRITES else 0
        fault = self._decide(Call(name, tuple(files_of(name, arguments, thread)), size))
        if fault is None:
            _resume(thread)
        elif isinstance(fault, Kill) and not fault.after:
            self._kill()
        elif isinstance(fault, Kill):
            self._leaving.add(thread)
            _resume(thread, how=_SYSCALL)
        elif isinstance(fault, Tear | Shorten):
            registers[machine.arguments_at[2]] = max(1, int(size * fault.part))
            self._set_registers(thread, registers)
            if isinstance(fault, Tear):
                self._leaving.add(thread)
            _resume(thread, how=_SYSCALL if isinstance(fault, Tear) else _CONT)
        elif isinstance(fault, Fail):
            self._fail(thread, registers, fault.error)
            _resume(thread)
        else:
            fault.meanwhile()
            _resume(thread)

    def _fail(self, thread: int, registers: ctypes.Array[ctypes.c_uint64], error: int) -> None:
        machine = self._machine
        if machine.name == "aarch64":
            none = ctypes.c_int(-1)
            _set(thread, _ARM_SYSTEM_CALL, none)
        else:
            registers[machine.number_at] = 2**64 - 1
        registers[machine.result_at] = 2**64 - error
        self._set_registers(thread, registers)

    def _kill(self) -> None:
        self._killed = True
        os.kill(self._pid, signal.SIGKILL)

    def _registers(self, thread: int) -> ctypes.Array[ctypes.c_uint64] | None:
        registers = (ctypes.c_uint64 * self._machine.registers)()
        block = _Block(ctypes.cast(registers, ctypes.c_void_p), ctypes.sizeof(registers))
        gone = _ptrace(_GETREGSET, thread, _PRSTATUS, ctypes.addressof(block))
        return None if gone else registers

    def _set_registers(self, thread: int, registers: ctypes.Array[ctypes.c_uint64]) -> None:
        _set(thread, _PRSTATUS, registers)

    def _end_others(self) -> None:
        """End the processes that the child left behind: a thread of its own is gone by now."""
        for other in self._others:
            with suppress(ProcessLookupError):
                os.kill(other, signal.SIGKILL)
        for other in self._others:
            with suppress(ChildProcessError):
                os.waitpid(other, _WALL)


def _set(thread: int, what: int, value: Any) -> None:
    block = _Block(ctypes.cast(ctypes.pointer(value), ctypes.c_void_p), ctypes.sizeof(value))
    _ptrace(_SETREGSET, thread, what, ctypes.addressof(block))


def _resume(thread: int, number: int = 0, *, how: int = _CONT) -> None:
    _ptrace(how, thread, 0, number)


def _ptrace(request: int, thread: int, address: int, data: int) -> bool:
    """Ask the kernel; True where the thread is gone meanwhile."""
    if _libc.ptrace(request, thread, address, data) == -1:
        error = ctypes.get_errno()
        if error != errno.ESRCH:
            raise TracingRefused(f"ptrace request {request:#x}: {os.strerror(error)}")
        return True
    return False
