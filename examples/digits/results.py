"""The table at the end: what each step was worth, on this machine and on Arm64.

    python -m examples.digits.results

Needs what `examples.digits.measure` and `make android-count` wrote.
"""

from __future__ import annotations

import json
from pathlib import Path

from examples.digits.measure import RESULTS

INSTRUCTIONS = Path("build/android/instructions.json")


def main() -> None:
    measured, counted = json.loads(RESULTS.read_text()), json.loads(INSTRUCTIONS.read_text())
    print("| model | accuracy | kB | nodes | instructions, CPU | instructions, XNNPACK |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in ("original", "optimized", "int8"):
        each = measured[name]
        instructions = " | ".join(
            f"{counted[name][provider] / 1e6:.2f} M" for provider in ("CPU", "XNNPACK")
        )
        size, nodes = each["bytes"] / 1e3, each["nodes"]
        accuracy = each["accuracy"]["all"]
        print(f"| {name} | {accuracy:.2%} | {size:.1f} | {nodes} | {instructions} |")


if __name__ == "__main__":
    main()
