"""An interpreter for those who execute one: `python forked_interpreter.py ADDRESS …` has it forked from a zygote.

It takes the options -u, which is how forked ones are, and -c with a script; it lives as long, and ends in the same way.
"""

import json
import os
import socket
import sys


def main(address: str, *arguments: str) -> int:
    """Be the interpreter with these arguments."""
    program = [each for each in arguments if each != "-u"]
    order = {"program": program, "environment": dict(os.environ), "directory": os.getcwd()}  # noqa: PTH109 - no import
    says, said = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as zygote:
        zygote.connect(f"\0{address}")
        socket.send_fds(zygote, [json.dumps(order).encode()], [0, 1, 2, said])
    for each in (0, 1, said):
        os.close(each)
    with os.fdopen(says) as end:
        *_, code = end.read().split()
    return int(code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
