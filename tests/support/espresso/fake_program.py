"""Stands in for pw.x and ph.x: counts its calls and does what the file ``mode`` beside it says."""

import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def main():
    name = Path(__file__).name
    with (HERE / "calls").open("a") as stream:
        stream.write(f"{os.getpid()} {Path.cwd()}\n")
    source = Path(sys.argv[2]).read_text()
    if not source:
        sys.stdout.write("     Program PWSCF v.6.7MaX starts on a day\n")
        sys.exit(1)
    mode = (HERE / "mode").read_text()
    output = (HERE / f"{name}.out").read_text()
    first_attempt = "mixing_beta      = 0.7" in source
    if mode == "hang":
        time.sleep(600)
    if mode == "unconverged" or (mode == "second attempt" and first_attempt):
        output = "     convergence NOT achieved after   2 iterations: stopping\n   JOB DONE."
    if mode == "stop":
        output = "%%%%\n     Error in routine electrons (1):\n     charge is wrong\n%%%%"
    if mode == "torn":
        output = output[: len(output) // 2]
    sys.stdout.write(output)


if __name__ == "__main__":
    main()
