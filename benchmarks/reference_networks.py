"""Activation sums and peaks of the published networks beside those of a table that was measured in eager torch.

    python -m benchmarks.reference_networks

The table is `tests/data/reference_networks.csv`; parameters, multiply-adds, shapes, receptive fields and strides are
equal in every row (a test says so), so only the two memory columns are shown.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nas

TABLE = Path(__file__).parent.parent / "tests" / "data" / "reference_networks.csv"


def main() -> None:
    print("| network | written, ours | table | difference | peak, ours | table | difference |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for row in csv.DictReader(TABLE.open()):
        space = nas.load_space(row["space"], **json.loads(row["let"] or "{}"))
        shape = tuple(map(int, row["input"].split("x")))
        classes = int(row["output"].split("; ")[0].split("x")[1])
        cost = nas.cost_of(space.for_data(shape, classes).decode({}))
        written, table = 4 * cost.activations, int(row["act_sum_bytes_b1_eval"])
        peak, peak_table = cost.peak_memory_bytes, int(row["act_peak_live_bytes_b1_eval"])
        print(
            f"| {row['arch']} | {written:,} | {table:,} | {written / table - 1:+.1%} "
            f"| {peak:,} | {peak_table:,} | {peak / peak_table - 1:+.1%} |"
        )


if __name__ == "__main__":
    main()
