"""A thousand random SIGKILLs of processes that save a network: the file is always whole, and as new as any save that has returned.

At most one temporary file is left when the next save has begun. The controls are a plain write, which must lose a network, and
saves that do not remove what others left, after which there must be more temporary files than one.
"""

import argparse
import io
import os
import random
import signal
import struct
import tempfile
import time
from pathlib import Path

from forked import ended, start, temporary_files

import fastbp
from fastbp import storage
from fastbp.files.model_file import ModelFormatError

SIZES = [300, 200, 1]
MOST_WAIT = 0.02  # seconds between the start of the saves and the kill
COUNT = struct.Struct("<q")


def plain(net, path):
    """What `net.save` must not be."""
    content = io.BytesIO()
    net.save(content)
    with open(path, "wb") as file:
        file.write(content.getvalue())


def save_for_ever(net, path, save, acknowledge):
    while True:
        net.params[:] += 1.0
        save(net, path)
        os.write(acknowledge, COUNT.pack(int(net.params[0])))


def acknowledged(pipe):
    """The last number that a killed process has sent, -1 if none."""
    with open(pipe, "rb") as file:
        content = file.read()
    return COUNT.unpack(content[-COUNT.size :])[0] if content else -1


def kills(count, save=fastbp.Network.save, until_fault=False):
    """(unreadable files, saves that were lost, most temporary files at any time, kills in the middle of a save)."""
    unreadable = lost = most = amid = 0
    net = fastbp.Network(SIZES, rng=0)
    net.params[:] = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.fastbp")
        net.save(path)
        for _ in range(count):
            reading, writing = os.pipe()
            child = start(save_for_ever, net, path, save, writing)
            os.close(writing)
            time.sleep(random.uniform(0.0, MOST_WAIT))
            os.kill(child, signal.SIGKILL)
            ended(child)
            last = max(acknowledged(reading), int(net.params[0]))
            left = len(temporary_files(folder))
            most, amid = max(most, left), amid + (left > 0)
            try:
                params = fastbp.load(path).params
            except ModelFormatError:
                unreadable += 1
                net.save(path)
            else:
                if not (params == params[0]).all() or params[0] not in (last, last + 1):
                    lost += 1
                net.params[:] = params[0]
            if until_fault and (unreadable or lost or most > 1):
                break
    return unreadable, lost, most, amid


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="50 kills")
    count = 50 if parser.parse_args().quick else 1000
    if not hasattr(os, "fork"):
        print("kills during saves: needs fork")
        return 0
    random.seed(0)
    unreadable, lost, most, amid = kills(count)
    damaged = sum(kills(1000, plain, until_fault=True)[:2])
    storage.remove_abandoned = lambda *arguments: None
    left = kills(1000, until_fault=True)[2]
    print(
        f"{unreadable} unreadable, {lost} lost, at most {most} temporary file in {count} kills during saves, {amid} in the middle"
        f" of a write; controls: a plain write {'loses' if damaged else 'DOES NOT LOSE'} a network,"
        f" without removal there are {left} temporary files"
    )
    return 1 if unreadable or lost or most > 1 or not amid or not damaged or left < 2 else 0


if __name__ == "__main__":
    raise SystemExit(main())
