"""Local workers: N processes on this machine, one task each at a time, each on a pipe of its own.

    coordinator ──task──→ worker ──result or error──→ coordinator
                 (a worker that dies costs the task it had: it is asked for whether it was done, else given again)

No lock, no queue is shared with a process that may die. Functions travel by import path or through dill; data never.
"""

from __future__ import annotations

import importlib
import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import multiprocess
from multiprocess.connection import Connection, wait

from oarlock.errors import OarlockError
from oarlock.workers.orphan import end_with

StartMethod = Literal["forkserver", "spawn"]
#: A task whose worker died is given to another at most so many times in all: a poisonous one must end.
ATTEMPTS = 3
#: A worker that was told to stop has this long to finish what it does.
GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task."""

    number: int
    task: Any
    result: Any = None
    error: str | None = None
    attempts: int = 1


@dataclass(slots=True)
class _Worker:
    process: Any
    pipe: Connection
    lifeline: Connection
    number: int | None = None  # of the task it has
    ready: bool = False


@dataclass(slots=True)
class _Waiting:
    number: int
    task: Any
    attempts: int = 0


@dataclass
class LocalWorkers:
    """Runs tasks in worker processes; iterate over ``run()`` for what became of each, in the order of completion.

    Args:
        target: "module:function"; called once in each worker with ``arguments``, it gives the function for tasks.
        count: how many processes.
        was_done: asked about a task whose worker died: its result if it was done all the same, else ``None``.
    """

    target: str
    arguments: tuple[Any, ...]
    count: int
    start_method: StartMethod = "forkserver"
    was_done: Callable[[Any], Any] = lambda task: None
    told: Callable[..., None] = lambda event, **fields: None
    _workers: list[_Worker] = field(default_factory=list)
    draining: bool = False

    def run(self, tasks: Iterable[Any]) -> Iterator[Outcome]:
        """Do all tasks; an error in one is told in its outcome and stops no other."""
        waiting = deque(_Waiting(number, task) for number, task in enumerate(tasks))
        running: dict[int, _Waiting] = {}
        try:
            if self.start_method == "forkserver":
                # Imported once in the server, not once a worker.
                multiprocess.get_context("forkserver").set_forkserver_preload([self.target.partition(":")[0]])
            for _ in range(min(self.count, len(waiting))):
                self._start()
            while running or (waiting and not self.draining):
                self._give(waiting, running)
                for worker in self._speaking():
                    yield from self._hear(worker, waiting, running)
        finally:
            self.stop()

    def drain(self) -> None:
        """Give out no more tasks; those that run are finished."""
        self.draining = True

    def stop(self) -> None:
        """End all workers: those that do nothing at once, the others after a grace; none is left behind."""
        for worker in self._workers:
            worker.pipe.close()
            if worker.number is not None:
                worker.process.terminate()
        deadline = time.monotonic() + GRACE_S
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.lifeline.close()
            worker.process.close()
        self._workers.clear()

    def _start(self) -> None:
        context = multiprocess.get_context(self.start_method)
        here, there = context.Pipe()
        lifeline_there, lifeline_here = context.Pipe(duplex=False)
        process = context.Process(
            target=_work, args=(self.target, self.arguments, there, lifeline_there, os.getpid()), daemon=False
        )
        process.start()
        there.close()
        lifeline_there.close()
        self._workers.append(_Worker(process, here, lifeline_here))

    def _give(self, waiting: deque[_Waiting], running: dict[int, _Waiting]) -> None:
        for worker in self._workers:
            if worker.number is None and worker.ready and waiting and not self.draining:
                one = waiting.popleft()
                one.attempts += 1
                worker.number = one.number
                running[one.number] = one
                with suppress(OSError):  # it died in this moment: its pipe tells so at once
                    worker.pipe.send(("task", one.task))

    def _speaking(self) -> list[_Worker]:
        by_pipe = {worker.pipe: worker for worker in self._workers}
        return [by_pipe[pipe] for pipe in wait(list(by_pipe), timeout=0.5)]

    def _hear(self, worker: _Worker, waiting: deque[_Waiting], running: dict[int, _Waiting]) -> Iterator[Outcome]:
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._bury(worker, waiting, running)
            return
        if kind == "ready":
            worker.ready = True
            return
        assert worker.number is not None
        one, worker.number = running.pop(worker.number), None
        if kind == "done":
            yield Outcome(one.number, one.task, result=value, attempts=one.attempts)
        else:
            yield Outcome(one.number, one.task, error=value, attempts=one.attempts)

    def _bury(self, worker: _Worker, waiting: deque[_Waiting], running: dict[int, _Waiting]) -> Iterator[Outcome]:
        """A worker died: its task is looked up, given again or given up; a new worker takes its place."""
        worker.process.join()
        how = _ending(worker.process.exitcode)
        self.told("worker.died", pid=worker.process.pid, found=how)
        self._workers.remove(worker)
        worker.pipe.close()
        worker.lifeline.close()
        was_ready = worker.ready
        worker.process.close()
        if worker.number is None:
            if not was_ready:
                raise WorkerStartFailed(how)
        else:
            one = running.pop(worker.number)
            result = self.was_done(one.task)
            if result is not None:
                yield Outcome(one.number, one.task, result=result, attempts=one.attempts)
            elif one.attempts >= ATTEMPTS:
                yield Outcome(
                    one.number, one.task, error=f"its worker {how}, {one.attempts} times", attempts=one.attempts
                )
            else:
                waiting.appendleft(one)
        if waiting and not self.draining:
            self._start()


class WorkerStartFailed(OarlockError, RuntimeError):
    """A worker process ended before it could take a task."""

    def __init__(self, how: str) -> None:
        self.how = how
        super().__init__(f"a worker {how} before it was ready; its output above says why")


def _ending(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        try:
            return f"was killed by {signal.Signals(-exitcode).name}"
        except ValueError:
            return f"was killed by signal {-exitcode}"
    return f"ended with code {exitcode}"


def _work(
    target: str, arguments: tuple[Any, ...], pipe: Connection, lifeline: Connection, coordinator_pid: int
) -> None:
    """Be a worker: take tasks from the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the coordinator decides
    end_with(coordinator_pid, lifeline)
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)(*arguments)
    pipe.send(("ready", None))
    while True:
        try:
            _, task = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            reply = ("done", function(task))
        except Exception as error:
            told = str(error) if isinstance(error, OarlockError) else "".join(traceback.format_exception_only(error))
            reply = ("failed", told.strip())
        try:
            pipe.send(reply)
        except OSError:
            return
