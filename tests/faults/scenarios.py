"""All scenarios by name."""

from __future__ import annotations

from removals import DevMode, Dropped, DroppedPackages, Refreshed
from runs import (
    Exported,
    FirstRun,
    LoadedInPart,
    LostFolder,
    NewColumns,
    Replace,
    SecondProcess,
    SecondTry,
    Spooled,
    StateChange,
    StepByStep,
)
from scenario import Scenario


def scenarios() -> dict[str, Scenario]:
    """Give all by name."""
    made = (
        *(FirstRun(), Scenario(), Replace(), NewColumns(), SecondProcess(), StepByStep(), Spooled(), Exported()),
        *(LostFolder(), LoadedInPart(), Dropped(), DroppedPackages(), DevMode(), Refreshed(), StateChange()),
        SecondTry(),
    )
    return {one.name: one for one in made}
