"""Settings of the automations."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError


def test_seconds_that_prefect_does_not_take_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.automations import RETRY_SECONDS, _seconds

    assert _seconds(RETRY_SECONDS, "60,300") == [60, 300]
    monkeypatch.setenv(RETRY_SECONDS, "")
    assert _seconds(RETRY_SECONDS, "60,300") == []
    monkeypatch.setenv(RETRY_SECONDS, "60,3")
    with pytest.raises(UsageError, match="XLMR_RETRY_SECONDS=60,3: not seconds of at least 10"):
        _seconds(RETRY_SECONDS, "60,300")
