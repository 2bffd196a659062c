"""A terminal of a given width for a program, without a real one."""
import errno
import fcntl
import os
import pty
import struct
import subprocess
import termios

from program import HANG, PROGRAM, environment


def resize(master, columns):
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def run_in_terminal(*arguments, columns=80, stdout_too=True, env=None):
    """Exit code, and the bytes that the program sent to its terminal (stderr, and stdout unless it is piped away)."""
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[1] &= ~termios.OPOST  # no "\r" before "\n"
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    resize(master, columns)
    process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, stderr=slave,
                               stdout=slave if stdout_too else subprocess.DEVNULL, env=environment(env))
    os.close(slave)
    output = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError as error:  # Linux ends so
            if error.errno != errno.EIO:
                raise
            break
        if not piece:
            break
        output += piece
    os.close(master)
    return process.wait(HANG), output


def drawn_lines(output):
    """The contents of the terminal's lines, one after another, with each drawing separate."""
    text = output.decode("utf-8").replace("\x1b[K", "")
    return [line for part in text.split("\n") for line in part.split("\r")]
