"""The gate cannot be passed by not running a test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPPING = {
    "by_mark": "import pytest\n@pytest.mark.skip(reason='rain')\ndef test(): pass\n",
    "from_inside": "import pytest\ndef test(): pytest.skip('rain')\n",
    "expected_to_fail": "import pytest\n@pytest.mark.xfail(reason='rain')\ndef test(): assert False\n",
    "as_a_module": "import pytest\npytest.importorskip('no_such_module')\ndef test(): pass\n",
}


@pytest.mark.parametrize(("ci", "outcome"), [("true", "2 failed, 2 errors"), ("", "3 skipped, 1 xfailed")])
def test_a_skipped_test_fails_in_ci_and_only_there(tmp_path: Path, ci: str, outcome: str) -> None:
    """A test skipped by any means fails the run when CI=true, and is merely skipped otherwise."""
    for name, source in SKIPPING.items():
        (tmp_path / f"test_{name}.py").write_text(source)
    options = ["-q", "-p", "tests.no_skips", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir=.", "-c", "/dev/null", str(tmp_path)],
        env={**os.environ, "CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert outcome in done.stdout.splitlines()[-1]
