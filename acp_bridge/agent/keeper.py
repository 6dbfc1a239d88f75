"""The process between bridge and agent that lets nothing of the agent outlive the bridge.

A bridge that is killed with ``kill -9`` cannot clean up after itself, so this program does. It is
started as ``python -I -S keeper.py fd=N`` with the agent's pipes as its standard streams, before
the bridge knows what the agent will be. It uses the standard library only, and

* on Linux becomes the child subreaper: every orphan below the agent becomes its child, so "no child
  left" means "no descendant left", whatever sessions and groups they made for themselves;
* waits for one `Order` on the control socket, the descriptor N. If the socket ends before the order
  is complete, the bridge is gone or wants no agent: nothing is started and the exit status is 0;
* starts the agent in a session of its own, with exactly the environment ordered (its own has
  nothing of it), passes the three pipes on and keeps no end of them, so that the agent sees
  end-of-file on its stdin the moment the bridge is gone;
* reports on the control socket: ``started PID``, or ``failed ERRNO``; later ``exited CODE`` (minus
  the signal's number for a death by signal), and, only if it had to give up, ``left COUNT``;
* takes end-of-file on the control socket, which is what the death of the bridge looks like, as the
  one and only request to end: `grace` seconds for the agent to end by itself (its stdin has ended),
  SIGTERM and `terminate` seconds, then SIGKILL to whatever is left for at most `kill` seconds.
  SIGUSR1 cuts the two waits short.

On Linux no other program of the same user can read the keeper's memory, through which the agent's
credential goes; executing the agent ends that for the agent.

If the agent ends first, what it left behind gets the same three steps. If the keeper itself is
killed, the kernel kills the agent (``PR_SET_PDEATHSIG``).

macOS has neither subreapers nor a parent-death signal. There the descendants are the agent's
process group and the tree that ``ps`` shows when the end begins: a process with a session of its
own whose parents have ended before is missed, and a killed keeper leaves the agent to the bridge.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
EXEC_FAILED = 127
WALK_SECONDS = 0.02
"""How often survivors are looked for while they are being killed."""
LOOK_SECONDS = 0.2
"""How often ``ps`` is asked where the kernel does not tell of orphans."""

IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE)
"""The bridge answers the terminal; the keeper goes when its work is done and not before."""

SIZE_BYTES = 8
"""How many bytes say how long the rest of an order is, the highest first."""

Waits = tuple[float, float, float]
"""Seconds: `grace`, `terminate`, `kill`."""


class Order:
    """What the bridge asks a keeper for. Bytes throughout: what is not text gets through as it is.

    On the control socket it is its length, then these words with a NUL between each two: the three
    waits, the directory, the number of words of the command line, those words, and NAME=VALUE for
    each variable.

    Args:
        argv: the agent's command line; a name without a slash is looked up on the ordered ``PATH``.
        environment: the agent's whole environment; may hold secrets.
        directory: where the agent starts, from the keeper's own directory; empty for just there.
        waits: the seconds of the three steps by which it is ended.
    """

    def __init__(
        self,
        argv: list[bytes],
        environment: Mapping[bytes, bytes],
        directory: bytes,
        waits: Waits,
    ) -> None:
        self.argv = argv
        self.environment = environment
        self.directory = directory
        self.waits = waits

    def packed(self) -> bytes:
        """Return what the control socket carries.

        Raises:
            ValueError: what no program can be given: a NUL, or a variable's name with a ``=``.
        """
        words = [*(str(seconds).encode() for seconds in self.waits)]
        words += [self.directory, str(len(self.argv)).encode(), *self.argv]
        for name, value in self.environment.items():
            if b"=" in name:
                raise ValueError("the name of a variable holds a =")
            if name:  # Python's exec refuses a nameless one, which an environment may hold
                words.append(name + b"=" + value)
        if any(b"\0" in word for word in words):
            raise ValueError("a word holds a NUL")
        body = b"\0".join(words)
        return len(body).to_bytes(SIZE_BYTES, "big") + body

    @classmethod
    def unpacked(cls, body: bytes) -> "Order":
        """Read what `packed` made, without the length."""
        grace, terminate, kill, directory, count, *words = body.split(b"\0")
        variables = (word.partition(b"=") for word in words[int(count) :])
        return cls(
            words[: int(count)],
            {name: value for name, _, value in variables},
            directory,
            (float(grace), float(terminate), float(kill)),
        )


def read_order(control: int) -> Order | None:
    """Wait for an order; None if `control` ends before it is complete."""
    size = _read(control, SIZE_BYTES)
    body = size and _read(control, int.from_bytes(size, "big"))
    return Order.unpacked(body) if body else None


def _read(control: int, count: int) -> bytes | None:
    received = bytearray()
    while len(received) < count:
        try:
            chunk = os.read(control, count - len(received))
        except ConnectionResetError:
            return None
        if not chunk:
            return None
        received += chunk
    return bytes(received)


Prctl = Callable[[int, int], int]


def no_prctl(_option: int, _value: int) -> int:
    """Stand in for ``prctl`` on systems that have none."""
    return -1


def find_prctl() -> Prctl:
    """Return Linux's ``prctl``, or a stand-in where it or ctypes is missing."""
    if sys.platform != "linux":
        return no_prctl
    try:
        import ctypes  # noqa: PLC0415 - 4 ms that only Linux needs; some builds lack it
    except ImportError:
        return no_prctl
    call = ctypes.CDLL(None, use_errno=True).prctl

    def prctl(option: int, value: int) -> int:
        zero = ctypes.c_ulong(0)
        return int(call(option, ctypes.c_ulong(value), zero, zero, zero))

    return prctl


Row = tuple[int, int, int]
"""A process: its id, its parent's id, its process group's id."""


def descendants(root: int, parents: Iterable[tuple[int, int]]) -> list[int]:
    """Return the processes below `root`, given (process, its parent)."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents:
        if pid != root:
            children.setdefault(parent, []).append(pid)
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.pop(queue.pop(), [])
        found += below
        queue += below
    return found


def rows_from_proc() -> list[Row]:
    """Read all living processes from ``/proc``."""
    rows = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would double the start-up cost
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123 - as above
                # The command, in brackets, may itself hold blanks and brackets.
                state, parent, group, *_ = stat.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if state != b"Z":
            rows.append((int(name), int(parent), int(group)))
    return rows


def rows_from_ps() -> list[Row]:
    """Read all living processes from ``ps``, for systems without ``/proc``."""
    with os.popen("ps -A -o pid= -o ppid= -o pgid= -o stat=") as listing:  # noqa: S605, S607 - constant
        table = [line.split() for line in listing]
    return [(int(row[0]), int(row[1]), int(row[2])) for row in table if row[3][0] != "Z"]


class Keeper:
    """One agent, from its start until nothing of it is left.

    Args:
        control: socket to the bridge; its end-of-file is the request to end.
        prctl: see `find_prctl`.
    """

    def __init__(self, control: int, prctl: Prctl) -> None:
        self._control = control
        self._prctl = prctl
        self._is_subreaper = prctl(PR_SET_CHILD_SUBREAPER, 1) == 0
        self._agent = -1
        self._agent_runs = False
        self._bridge_is_there = True
        self._in_a_hurry = False
        self._seen: set[tuple[int, int]] = set()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self._former = {number: signal.signal(number, signal.SIG_IGN) for number in IGNORED}
        self._former[signal.SIGPIPE] = signal.SIG_DFL  # Python ignores it; programs expect it
        self._wake, wake_end = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_end, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGUSR1, self._hurry)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)

    def start(self, order: Order) -> bool:
        """Start the agent and report it; tell whether it runs."""
        keeper = os.getpid()
        error_end, write_end = os.pipe()
        self._agent = os.fork()
        if self._agent == 0:
            self._become_agent(keeper, order, write_end)
        os.close(write_end)
        failure = os.read(error_end, 32)
        os.close(error_end)
        self._let_go_of_pipes()
        self._agent_runs = not failure
        if failure:
            os.waitpid(self._agent, 0)
        self._report(f"failed {failure.decode()}" if failure else f"started {self._agent}")
        return self._agent_runs

    def keep(self, waits: Waits) -> int:
        """Wait for the agent or the bridge to end, then for the rest; return the exit status."""
        grace, terminate, kill = waits
        while self._bridge_is_there and self._agent_runs:
            self._wait(None)
            self._something_is_left()
        if not self._is_subreaper:
            self._descendants()  # those seen now are known later, when their parents have ended
        if self._nothing_left_within(grace, patient=True):
            return 0
        self._signal_all(signal.SIGTERM, signal.SIGCONT)
        if self._nothing_left_within(terminate, patient=True):
            return 0
        deadline = time.monotonic() + kill
        while time.monotonic() < deadline:
            self._signal_all(signal.SIGKILL)
            if self._nothing_left_within(WALK_SECONDS):
                return 0
        self._report(f"left {len(self._descendants())}")
        return 1

    def _become_agent(self, keeper: int, order: Order, error_end: int) -> None:
        """In the child: become the agent, or report why not. Never returns."""
        try:
            os.setsid()
            self._prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != keeper:
                return  # the keeper died before the kernel knew to tell
            signal.set_wakeup_fd(-1)
            for number, handler in self._former.items():
                signal.signal(number, handler)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores this one too
            if order.directory:
                os.chdir(order.directory)
            os.execvpe(order.argv[0], order.argv, order.environment)  # noqa: S606 - no shell
        except OSError as error:
            os.write(error_end, str(error.errno).encode())
        finally:
            os._exit(EXEC_FAILED)

    def _let_go_of_pipes(self) -> None:
        """Give up the agent's pipes and directory: nobody would see the pipes' end otherwise."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        os.close(nothing)
        os.chdir("/")

    def _hurry(self, _number: int, _frame: object) -> None:
        self._in_a_hurry = True

    def _report(self, line: str) -> None:
        try:
            os.write(self._control, f"{line}\n".encode())
        except OSError:
            self._bridge_is_there = False

    def _wait(self, seconds: float | None) -> None:
        """Wait for the death of a child or of the bridge, at most `seconds`."""
        events = select.poll()
        events.register(self._wake, select.POLLIN)
        if self._bridge_is_there:
            events.register(self._control, select.POLLIN)
        ready = {fd for fd, _ in events.poll(None if seconds is None else seconds * 1000)}
        if self._control in ready:
            self._bridge_is_there = False
        if self._wake in ready:
            os.read(self._wake, 4096)

    def _something_is_left(self) -> bool:
        """Collect ended children, report the agent's end; tell whether any process is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                # A subreaper without children has no descendants.
                return not self._is_subreaper and bool(self._descendants())
            if pid == 0:
                return True
            if pid == self._agent:
                self._agent_runs = False
                self._report(f"exited {os.waitstatus_to_exitcode(status)}")

    def _nothing_left_within(self, seconds: float, *, patient: bool = False) -> bool:
        """Wait for everything to have ended; `patient` waits end when a hurry is asked for."""
        deadline = time.monotonic() + seconds
        while self._something_is_left():
            remaining = deadline - time.monotonic()
            if remaining <= 0 or (patient and self._in_a_hurry):
                return False
            self._wait(remaining if self._is_subreaper else min(remaining, LOOK_SECONDS))
        return True

    def _descendants(self) -> list[int]:
        rows = rows_from_proc() if sys.platform == "linux" else rows_from_ps()
        if self._is_subreaper:
            return descendants(os.getpid(), [(pid, parent) for pid, parent, _ in rows])
        groups = {pid: group for pid, _, group in rows}
        orphans = {pid for pid, group in groups.items() if self._belongs(pid, group)}
        found = descendants(
            self._agent,
            [(pid, self._agent if pid in orphans else parent) for pid, parent, _ in rows],
        )
        self._seen.update((pid, groups[pid]) for pid in found)
        return [self._agent, *found] if self._agent_runs else found

    def _belongs(self, pid: int, group: int) -> bool:
        """Tell without a subreaper whether a process is the agent's, whoever its parent is now."""
        return group == self._agent or (pid, group) in self._seen

    def _signal_all(self, *numbers: int) -> None:
        for pid in self._descendants():
            for number in numbers:
                try:
                    os.kill(pid, number)
                except (ProcessLookupError, PermissionError):
                    break


def main(argv: list[str]) -> int:
    """Start the agent that is ordered and keep it; see the module's first lines."""
    control = int(argv[0].removeprefix("fd="))
    os.set_inheritable(control, False)
    prctl = find_prctl()
    prctl(PR_SET_DUMPABLE, 0)
    keeper = Keeper(control, prctl)
    order = read_order(control)
    if order is None:
        return 0
    return keeper.keep(order.waits) if keeper.start(order) else EXEC_FAILED


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # nothing to flush: the interpreter's tidy end takes 5 ms
