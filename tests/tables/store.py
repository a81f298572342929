"""What the table scripts share: float32 rounding and the command line that writes or checks."""

import argparse
import gzip
import struct


def float32(x):
    """x rounded to float32, as a Python float."""
    return struct.unpack("f", struct.pack("f", x))[0]


def lines(header, rows):
    """The bytes of a comma-separated table, one line a row."""
    return "".join(",".join(row) + "\n" for row in (header, *rows)).encode()


def write_or_check(path, content):
    """Write content to path (.gz), or with --check refuse a file that holds anything else."""
    parser = argparse.ArgumentParser(description=f"Make {path.name}, or check it.")
    parser.add_argument("--check", action="store_true", help="compare with the file, write nothing")
    if parser.parse_args().check:
        if gzip.decompress(path.read_bytes()) != content():
            raise SystemExit(f"{path} differs from what its script computes")
    else:
        path.write_bytes(gzip.compress(content(), 9, mtime=0))
