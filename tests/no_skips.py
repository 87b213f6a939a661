"""With CI=true a skipped test is a failed one: what nobody ran has shown nothing."""

import os
from collections.abc import Generator

import pytest

Wrapped = Generator[None, pytest.TestReport, pytest.TestReport]
Collected = Generator[None, pytest.CollectReport, pytest.CollectReport]


def fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI") == "true" and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"skipped, which fails in CI: {report.longrepr}"
        report.__dict__.pop("wasxfail", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Wrapped:
    report = yield
    fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Collected:
    report = yield
    fail_if_skipped(report)
    return report
