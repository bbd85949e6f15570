"""What `make audit` says and returns, with a stand-in for pip-audit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "tools" / "audit.py"
SOUND = {"name": "a", "version": "1.0", "vulns": []}
KNOWN = {"id": "PYSEC-1", "fix_versions": ["2.0", "1.1"]}


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ({"dependencies": [SOUND]}, 0, "1 packages audited, 0 known vulnerabilities\n"),
        (
            {"dependencies": [SOUND, {"name": "b", "version": "1.0", "vulns": [KNOWN]}]},
            1,
            "b 1.0: PYSEC-1, mended in 2.0, 1.1\n2 packages audited, 1 known vulnerabilities\n",
        ),
        (
            {"dependencies": [SOUND, {"name": "c", "skip_reason": "not found"}]},
            0,
            "not audited: c\n1 packages audited, 0 known vulnerabilities\n",
        ),
        (None, 0, "NOT AUDITED: http://here/v1/query did not answer (no route to host)\n"),
    ],
)
def test_outcomes(tmp_path: Path, answer: object, code: int, said: str) -> None:
    fake = tmp_path / "pip_audit"
    fake.mkdir()
    (fake / "__init__.py").touch()
    end = (
        "sys.exit('trouble\\nno route to host')" if answer is None else f"json.dump({answer}, out)"
    )
    (fake / "__main__.py").write_text(f"import json, sys\nout = sys.stdout\n{end}\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OSV": "http://here/v1/query"}
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (code, said)
