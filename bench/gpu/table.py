"""Print what the sections recorded as one Markdown table.

python3 -m bench.gpu.table DEVICE
"""

from __future__ import annotations

import sys
from typing import Any

from bench.gpu.case import recorded
from bench.report import conditions, table

HEADER = ["section", "what", "ours", "beside", "ratio", "MFU", "peak, GiB", "aim", "note"]
AIMS = {"0.5b full": "≥ 1.5 × TRL, ≥ 35 % MFU, ≤ .9 of its peak", "1.5b packed": "≥ 40 % MFU"}


def main(device: str) -> None:
    lines = recorded()
    print(f"{conditions(device)}\n")
    print(table(HEADER, [cells(line, best_of_trl(lines, line)) for line in lines]))


def best_of_trl(lines: list[dict[str, Any]], line: dict[str, Any]) -> dict[str, Any] | None:
    """Return the fastest run of TRL on the same rows."""
    if line["section"] != "train":
        return None
    same = [other for other in lines if other.get("key") == " ".join(line["what"].split(",")[0].split()[:2])]
    return max(same, key=lambda other: other["ours"], default=None)


def cells(line: dict[str, Any], trl: dict[str, Any] | None) -> list[str]:
    unit = line.get("unit", "")
    other = line.get("other", trl and trl["ours"])
    ratio = ""
    if other and line.get("ours"):
        value = other / line["ours"] if unit == "ms a step" else line["ours"] / other
        ratio = f"{value:.2f}"
    peak = f"{line['peak_gib']:.1f}" if line.get("peak_gib") else ""
    if trl and trl.get("peak_gib") and peak:
        peak += f" ({line['peak_gib'] / trl['peak_gib']:.2f} of TRL)"
    aim = line.get("aim") or (
        AIMS.get(" ".join(line["what"].split(",")[0].split()[:2]), "")
        if trl or "packed" in line["what"]
        else ""
    )
    right = {True: "right: ", False: "**WRONG**: ", None: ""}[line.get("is_right")]
    return [
        line["section"],
        line["what"],
        f"{right}{line.get('ours', '')} {unit}".strip(),
        f"{other} {unit}".strip() if other else "",
        ratio,
        f"{100 * line['mfu']:.1f} %" if line.get("mfu") else "",
        peak,
        aim,
        line.get("note", ""),
    ]


if __name__ == "__main__":
    main(sys.argv[1])
