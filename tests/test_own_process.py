"""What a process shows of itself through ``/proc``, before and after it forgets and hides."""

import json
import os
import subprocess
import sys

import pytest

from acp_bridge.launch.channels import Kind, load_channels
from acp_bridge.settings import PREFIX, SECRETS
from tests.support.ordinary_user import AS_ORDINARY_USER

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")

SECRET = "FAKE-secret-of-"
KEPT = {"PATH": os.environ["PATH"], "EMPTY": "", "ODD": "\udcff=\n"}
NEEDED_TO_START = {Kind.LOADER, Kind.STATE}
"""What these name is read by the program's own start: libraries, folders."""


def variables() -> dict[str, str]:
    """Every variable that carries something in, each with a secret of its own."""
    rows = load_channels().variables
    listed = {row.name for row in rows if not row.is_pattern and row.kind not in NEEDED_TO_START}
    own = {PREFIX + name.upper() for name in SECRETS}
    unknown = {"GITHUB_PAT", "DATABASE_URL"}
    return {**{name: SECRET + name for name in listed | own | unknown}, **KEPT}


def run(code: str, env: dict[str, str], *, user: tuple[str, ...] = ()) -> bytes:
    """What a program prints that is started with this environment, by this user."""
    argv = [*user, sys.executable, "-c", "import os, sys\n" + code]
    return subprocess.run(argv, env=env, check=True, stdout=subprocess.PIPE, timeout=60).stdout


FORGET = """
from acp_bridge.own_process import forget_environment
before = dict(os.environ)
assert forget_environment()
assert dict(os.environ) == before
"""


@pytest.mark.parametrize("times", [0, 1, 2])
def test_every_process_sees_the_environment_until_it_is_forgotten(times: int) -> None:
    look = """
import subprocess
subprocess.run(["cat", f"/proc/{os.getpid()}/environ"])
"""
    env = variables()
    shown = run(FORGET * times + look, env)
    names = {pair.partition(b"=")[0].decode() for pair in shown.split(b"\0")}
    assert names == ({""} if times else {*env, ""})
    assert shown.count(SECRET.encode()) == (0 if times else len(env) - len(KEPT))


def test_what_the_process_and_its_children_know_stays() -> None:
    env = variables()
    inherited = run(FORGET + "os.execvp('env', ['env', '-0'])", env)
    by_a_child = run(FORGET + "os.system('env -0')", env)
    by_the_c_library = run(
        FORGET
        + """
import ctypes
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
for name, value in os.environb.items():
    assert getenv(name) == value
""",
        env,
    )
    pairs = {os.fsencode(f"{name}={value}") for name, value in env.items()}
    assert pairs <= {*inherited.split(b"\0")}
    assert pairs <= {*by_a_child.split(b"\0")}
    assert by_the_c_library == b""


def test_an_environment_that_no_shell_makes_is_forgotten_too() -> None:
    code = (
        FORGET
        + """
print(os.environb.get(b"TWICE"), flush=True)
os.system("cat /proc/$PPID/environ | tr -d '\\\\0'; printenv TWICE")
"""
    )
    start = f"""
import ctypes
block = [b"TWICE=first", b"TWICE=FAKE-second", b"=FAKE-nameless", b"FAKE-no-variable"]
argv = [{sys.executable!r}.encode(), b"-c", {"import os" + chr(10) + code!r}.encode()]
array = lambda words: (ctypes.c_char_p * (len(words) + 1))(*words, None)
ctypes.CDLL(None).execve(argv[0], array(argv), array(block))
"""
    assert run(start, KEPT) == b"b'first'\nfirst\n"


@pytest.mark.parametrize(
    "place",
    [
        "(0, 0)",
        "(0, len(before))",
        "(len(before), 0)",
        "(inside, inside + 64)",
        "(inside, inside + len(before))",
        "(1 << 62, 1 << 63)",
    ],
)
def test_memory_that_is_not_the_environments_is_left_alone(place: str) -> None:
    code = f"""
from acp_bridge import own_process
before = open("/proc/self/environ", "rb").read()
other = b"x" * len(before)
inside = id(other) + sys.getsizeof(b"") - 1  # where the bytes are in a bytes object of CPython
own_process._first_environment = lambda: {place}
assert not own_process.forget_environment()
assert open("/proc/self/environ", "rb").read() == before
assert other == b"x" * len(before)
"""
    run(code, variables())


def test_numbers_that_the_kernel_does_not_tell_are_no_error() -> None:
    code = """
from acp_bridge import own_process
before = dict(os.environ)
own_process.ENV_START = 1000
assert not own_process.forget_environment()
assert dict(os.environ) == before
"""
    run(code, KEPT)


LOOK = """
import json, subprocess
CODE = '''
import json, os
def is_readable(path):
    try:
        os.readlink(path) if "/fd/" in path else open(path, "rb").close()
    except OSError:
        return False
    return True
files = ("cmdline", "stat", "status", "environ", "maps", "mem", "fd/1")
both = (os.getppid(), os.getpid())
print(json.dumps([[name for name in files if is_readable(f"/proc/{pid}/{name}")] for pid in both]))
'''
def look():
    done = subprocess.run([sys.executable, "-I", "-S", "-c", CODE], stdout=subprocess.PIPE)
    return json.loads(done.stdout)
"""
PUBLIC = ["cmdline", "stat", "status"]
ALL = [*PUBLIC, "environ", "maps", "mem", "fd/1"]


def test_an_ordinary_user_cannot_read_a_process_that_hid_but_its_children_and_its_state() -> None:
    code = (
        LOOK
        + """
from acp_bridge.own_process import hide_from_others
before = look()
assert hide_from_others()
print(json.dumps([*before, *look()]))
"""
    )
    printed = json.loads(run(code, KEPT, user=AS_ORDINARY_USER))
    assert printed == [ALL, ALL, PUBLIC, ALL]


def test_a_process_that_hid_still_uses_its_own_descriptors() -> None:
    code = """
from acp_bridge.agent.pipes import reopened
from acp_bridge.own_process import hide_from_others
assert hide_from_others()
read_end, write_end = os.pipe()
again = reopened(write_end, os.O_WRONLY)
os.write(again, b"through the pipe")
print(os.read(read_end, 100).decode(), str(again) in os.listdir("/proc/self/fd"))
"""
    assert run(code, KEPT, user=AS_ORDINARY_USER) == b"through the pipe True\n"
