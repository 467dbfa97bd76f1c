"""``python -m fastbp``, and the program ``fastbp``: the command line."""

import os
import signal
import sys

INTERRUPTED = 128 + 2  # what a shell makes of a process that Ctrl-C ends


def main() -> int:
    """Run the command of this process; Ctrl-C ends it without a word while libraries are imported, too."""
    is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # and not ignored, which it stays
    if is_heard:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))  # an exception may become an error of an import
    from fastbp.cli import main as command  # most of a second

    if is_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return command()


if __name__ == "__main__":
    sys.exit(main())
