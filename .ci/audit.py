"""Refuses an environment with yanked releases or known vulnerabilities.

    python .ci/audit.py REPORT

REPORT is what `pip install --report` wrote when the environment of this Python was installed. Vulnerabilities are
looked up by pip-audit; where its service cannot be reached that is said, and only the rest is checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def yanked(report: dict[str, Any]) -> list[str]:
    """Return the installed releases that their authors took back (PEP 592)."""
    installed = report["install"]
    return [f"{one['metadata']['name']} {one['metadata']['version']}" for one in installed if one.get("is_yanked")]


def vulnerable(audit: dict[str, Any]) -> tuple[list[str], int]:
    """Return known vulnerabilities, and how many packages were looked up."""
    looked_up = [package for package in audit["dependencies"] if "skip_reason" not in package]
    holes = [
        f"{package['name']} {package['version']}: {hole['id']}, mended in {hole['fix_versions'] or 'no release'}"
        for package in looked_up
        for hole in package["vulns"]
    ]
    return holes, len(looked_up)


def main(report: Path) -> int:
    """Print what is wrong; returns 1 where something is."""
    faults = [f"yanked: {release}" for release in yanked(json.loads(report.read_text()))]
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--skip-editable"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        holes, looked_up = vulnerable(json.loads(run.stdout))
    except ValueError:
        print(run.stderr.strip()[-500:])
        holes, looked_up = [], 0
    faults += [f"vulnerable: {hole}" for hole in holes]
    print("\n".join(faults) or f"no yanked release; {looked_up} packages looked up, no known vulnerability")
    if not looked_up:
        print("NOT AUDITED: pip-audit's service knows none of the packages from here")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
