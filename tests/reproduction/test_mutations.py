"""Every fault of `mutations` is found by `verify`, by the quantity that is named there."""

import dataclasses
from pathlib import Path

import pytest
from mutations import MUTATIONS, PAGES, Mutation, rendered

from lstm_mnist import data, recording, tensorflow1, verification

TRACE = recording.load_trace(recording.SHIPPED_TRACE)
CASES = [
    pytest.param(
        each,
        marks=[pytest.mark.compiled] * (each.kernel == "compiled") + [pytest.mark.slow] * each.slow,
    )
    for each in MUTATIONS
]


def first_out_of_bounds(mutation: Mutation, dataset: data.Dataset) -> str | None:
    settings = dataclasses.replace(
        verification.ORIGINAL, **{"kernel": mutation.kernel, **mutation.settings}
    )
    checks = verification.checks(TRACE, dataset, settings)
    return next((check.quantity for check in checks if not check.passed), None)


@pytest.mark.parametrize("mutation", CASES, ids=str)
def test_fault_is_found(
    mutation: Mutation, dataset: data.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation.put(monkeypatch)
    monkeypatch.setattr(tensorflow1, "SEEDS", 20)  # saves seconds; the bounds follow
    assert first_out_of_bounds(mutation, dataset) == mutation.found_by


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_page_tells_of_every_fault(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert rendered(text) == text
    for mutation in MUTATIONS:
        assert f"| {mutation.fault} | {mutation.found_by} |" in text
    assert len({mutation.fault for mutation in MUTATIONS}) == len(MUTATIONS)
