"""What came of tests inside of tests, at the end of the output."""

from __future__ import annotations

from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: takes more than CI's share of time under emulation")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What ran where, which a passing test would otherwise keep to itself."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
