"""Third parties' backends: NumPy's, but for one fault each. HOME is where they leave their traces."""

import contextlib
import ctypes
import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from gradparity.backends.numpy_backend import ClosedFormLoss, NumpyBackend
from gradparity.worker.channel import _LENGTH, MARK, Channel

HOME = Path(os.environ["HOME"])


def nothing():
    pass


class Faulty(NumpyBackend):
    """The fault is in the Hessian-vector product, in building the program, or in the step."""

    def __init__(self, fault=nothing, *, build=nothing, step=nothing):
        self.fault, self.build, self.step = fault, build, step

    def program(self, loss):
        self.build()
        return Program(loss.spec, self.fault, self.step)


class Program(ClosedFormLoss):
    def __init__(self, spec, fault, step):
        super().__init__(spec)
        self.fault, self.step, self.steps = fault, step, 0

    def hvp(self, params, data, tangents):
        self.fault()
        return super().hvp(params, data, tangents)

    def value_and_gradient(self, params, data):
        self.steps += 1
        if self.steps > 500:  # more than a check makes: it is being timed
            self.step()
        return super().value_and_gradient(params, data)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def crash():
    print("about to crash", flush=True)
    ctypes.string_at(0)


def fail():
    raise ValueError("\x1b[31mno [/red] derivative\x1b[0m of this\nand a second line")


def chatter():
    for stream in (sys.stdout, sys.stderr):
        for _ in range(4 * 1024):
            stream.write("x" * 1023 + "\n")


def leave():
    sys.exit("goodbye \x1b[1mand \x07thanks\x1b[0m")


def hang():
    # Busy, in Python: no message is read, and no signal is waited for.
    (HOME / f"hanging.{os.getpid()}").touch()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass


def hold():
    # Busy in C, with the interpreter's lock: no other thread of this process runs.
    (HOME / f"hanging.{os.getpid()}").touch()
    return 7 ** (10**9)


def channel():
    (found,) = [each for each in gc.get_objects() if isinstance(each, Channel)]
    return found


def garble():
    # A message that is none, on the private channel.
    channel().send(b"not msgpack")
    time.sleep(60)


def truncate():
    # The first half of a message, then the end.
    os.write(channel().fileno(), MARK + _LENGTH.pack(65536) + b"half")
    os._exit(5)


def scribble():
    # Into every descriptor that is open, as who looks for a leak does; then some work.
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"hello world")
    time.sleep(60)


def rare():
    # By a signal without a name.
    os.kill(os.getpid(), 40)
    time.sleep(60)


def orphan():
    # A process of its own outlives it, and does not hold up what is said about it.
    sleeping = subprocess.Popen(["sleep", "60"], close_fds=False)
    (HOME / "orphan").write_text(str(sleeping.pid))
    os._exit(6)


def leave_a_daemon(*ends):
    # A daemon: its parent has ended, and it has a session of its own.
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            (HOME / "daemon").write_text(str(os.getpid()))
            time.sleep(60)
        os._exit(0)
    while not (HOME / "daemon").exists() or not (HOME / "daemon").read_text():
        time.sleep(0.01)
    for end in ends:
        end()


def take_4_gib():
    np.ones(2**29)


def until_mended(fault):
    """The fault, until somebody has mended it."""
    return lambda: None if (HOME / "mended").exists() else fault()


sound, killed, crashing = Faulty(), Faulty(die), Faulty(crash)
raising, chatty, leaving, hanging = Faulty(fail), Faulty(chatter), Faulty(leave), Faulty(hang)
leaving_a_daemon, leaving_and_crashing = Faulty(leave_a_daemon), Faulty(lambda: leave_a_daemon(lambda: os._exit(9)))
leaving_and_hanging = Faulty(lambda: leave_a_daemon(lambda: time.sleep(60)))
scribbling, rare_signal = Faulty(scribble), Faulty(rare)
garbling, truncating, orphaning = Faulty(garble), Faulty(truncate), Faulty(orphan)
holding, greedy, stuck_compiling = Faulty(hold), Faulty(take_4_gib), Faulty(build=hang)
crashing_later = Faulty(step=until_mended(crash))
