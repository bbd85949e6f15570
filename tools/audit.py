"""Look for known vulnerabilities of the versions that constraints.txt names.

Usage: ``make audit``. The advisories are those of osv.dev, or of a mirror with the same interface
(``OSV=http://mirror/v1/query``). The exit code is 1 where there are any, and 0 where there are none
or the service cannot be reached, which is then said.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICE = os.environ.get("OSV", "https://api.osv.dev/v1/query")
NOTHING_FOUND, SOMETHING_FOUND = 0, 1


def main() -> int:
    """Run pip-audit and say in a line what came of it."""
    command = [sys.executable, "-m", "pip_audit", "-r", str(ROOT / "constraints.txt")]
    # Versions are pinned, so that nothing has to be resolved or installed.
    command += ["--no-deps", "--disable-pip", "-s", "osv", "--osv-url", SERVICE, "-f", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        print(f"NOT AUDITED: {SERVICE} did not answer ({last})")
        return NOTHING_FOUND
    found = [(p["name"], p["version"], v) for p in packages for v in p.get("vulns", ())]
    for name, version, known in found:
        fixed = ", ".join(known["fix_versions"]) or "no version yet"
        print(f"{name} {version}: {known['id']}, mended in {fixed}")
    skipped = [p["name"] for p in packages if "skip_reason" in p]
    for name in skipped:
        print(f"not audited: {name}")
    print(f"{len(packages) - len(skipped)} packages audited, {len(found)} known vulnerabilities")
    return SOMETHING_FOUND if found else NOTHING_FOUND


if __name__ == "__main__":
    sys.exit(main())
