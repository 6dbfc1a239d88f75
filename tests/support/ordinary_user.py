"""A user whom the kernel keeps out of what a process hides.

Root reads every process, whatever that did to hide. Where the tests run as root, the ordinary user
is ``nobody``, who may nevertheless use every file, since interpreter and checkout may lie in root's
own folder. Processes are none of them: for those the kernel asks for CAP_SYS_PTRACE.
"""

import os
import sys
from typing import Final

_BECOME: Final = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def done(result):
    assert result == 0, os.strerror(ctypes.get_errno())
CAP_DAC_OVERRIDE, NOBODY = 1, 65534
# So that neither setuid nor access(2) takes the capability away.
done(libc.prctl(28, 4, 0, 0, 0))  # PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP
os.setgroups([])
os.setgid(NOBODY)
os.setuid(NOBODY)
header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
sets = [1 << CAP_DAC_OVERRIDE] * 3  # effective, permitted, inheritable
done(libc.capset(header, (ctypes.c_uint32 * 6)(*sets, 0, 0, 0)))
done(libc.prctl(47, 2, CAP_DAC_OVERRIDE, 0, 0))  # PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE
os.execv(sys.argv[1], sys.argv[1:])
"""

AS_ORDINARY_USER: Final = () if os.geteuid() else (sys.executable, "-I", "-S", "-c", _BECOME)
"""The command line under which a command is executed as an ordinary user, in the same process."""
