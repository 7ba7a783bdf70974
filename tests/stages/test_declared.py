"""What `dvc.yaml` declares of `params.yaml` for a stage is what the stage reads, and no more."""

from __future__ import annotations

import importlib
import shlex
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from pydantic import BaseModel
from tiny import TINY, make_project

from lirf import params
from lirf.params import Section
from stages.support.command import Out

MACHINE = {"device", "threads", "deterministic", "memory"}
"""Read by many, declared by none: what a stage computes is the same whatever they say."""

ELSE: dict[str, dict[str, dict[str, Any]]] = {
    "prepare": {"evaluate": {"features": "vision"}},
    "evaluate@r01": {
        "sample": {"solver": "dopri5", "atol": 0.1, "rtol": 0.1},
        "evaluate": {"features": "vision"},
    },
}
"""What a stage is also run with, section by section: some keys are read then alone."""

VISION = {"model": "test_vit", "weights": "vit.safetensors", "resolution": 32}


class Reads:
    """Notes the keys of `params.yaml` that are read, as `train.batch`, while it is installed."""

    def __init__(self, numbers: params.Params, patch: pytest.MonkeyPatch) -> None:
        self.found: set[str] = set()
        self.kept: list[tuple[BaseModel, str]] = []
        self.places: dict[int, str] = {}
        self.place(numbers, "")
        get, copy = Section.__getattribute__, Section.model_copy

        def read(section: Section, name: str) -> Any:
            value = get(section, name)
            place = self.places.get(id(section))
            if place is not None and name in type(section).model_fields:
                self.note(type(section), name, value, place)
            return value

        def copied(section: Section, **options: Any) -> Section:
            made = copy(section, **options)
            self.place(made, self.places.get(id(section)))
            return made

        patch.setattr(Section, "__getattribute__", read)
        patch.setattr(Section, "model_copy", copied)
        for dump in ("model_dump", "model_dump_json"):
            patch.setattr(Section, dump, self.dumped(getattr(Section, dump)))

    def place(self, value: object, place: str | None) -> None:
        """Remember where sections are, that one and those below it."""
        if place is None or not isinstance(value, BaseModel):
            return
        self.kept.append((value, place))  # or another may get its id
        self.places[id(value)] = place
        for name, below in vars(value).items():
            key = place + (type(value).model_fields[name].alias or name)
            many = below.items() if isinstance(below, dict) else ()
            for at, one in ((key, below), *((f"{key}.{line}", one) for line, one in many)):
                self.place(one, f"{at}.")

    def note(self, model: type[BaseModel], name: str, value: object, place: str) -> None:
        """Note a value that is read; a section is not, until something in it is."""
        inner = isinstance(value, dict) and all(isinstance(one, Section) for one in value.values())
        if not isinstance(value, Section) and not inner:
            self.found.add(place + (model.model_fields[name].alias or name))

    def dumped(self, dump: typing.Callable[..., Any]) -> typing.Callable[..., Any]:
        """Return what dumps a section, all of which is read then but for what it leaves out."""

        def noted(section: Section, **options: Any) -> Any:
            place = self.places.get(id(section))
            if place is not None:
                only, out = (options.get(name) or () for name in ("include", "exclude"))
                self.found |= {
                    key
                    for key in self.leaves()
                    if key.startswith(place)
                    and (not only or any(within(key, place + name) for name in only))
                    and not any(within(key, place + name) for name in out)
                }
            return dump(section, **options)

        return noted

    def leaves(self) -> Iterator[str]:
        """Yield the key of every value."""
        for section, place in self.kept:
            for name, value in vars(section).items():
                if not isinstance(value, (Section, dict)):
                    yield place + (type(section).model_fields[name].alias or name)


def within(key: str, declared: str) -> bool:
    return f"{key}.".startswith(f"{declared}.")


def changed(numbers: params.Params, sections: dict[str, dict[str, Any]]) -> params.Params:
    """Return the numbers with other values, and with a tiny transformer to look through."""
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("test_vit").state_dict(), VISION["weights"])
    vision = numbers.autoencoder.vision.model_copy(update=VISION)
    update = sections | {"autoencoder": {"vision": vision}}
    made = {name: getattr(numbers, name).model_copy(update=own) for name, own in update.items()}
    return numbers.model_copy(update=made)


def call(command: str, numbers: params.Params) -> None:
    """Run the stage that a line of `dvc.yaml` runs, in this process."""
    _, _, module, *words = shlex.split(command)
    stage = getattr(importlib.import_module(module), module.rpartition(".")[2])
    hints = typing.get_type_hints(stage)
    options = dict(zip((word[2:] for word in words[::2]), words[1::2], strict=True))
    for name, value in options.items():
        if hints[name] is Out:
            Path(value).parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(value, ignore_errors=True)
    stage(numbers, **{n: v if hints[n] is str else Path(v) for n, v in options.items()})


def test_every_stage_declares_the_keys_that_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path / "project", TINY)
    monkeypatch.chdir(project)
    import networkx  # DVC's own dependency; its graphs are networkx graphs

    with Repo(str(project)) as repo:
        graph = repo.index.graph.reverse()
        nodes = [node for node in networkx.topological_sort(graph) if node.name != "code"]
    numbers = params.load(Path("params.yaml"))
    declared: dict[str, set[str]] = {}
    found: dict[str, set[str]] = {}
    for node in (node for node in nodes if not node.name.startswith("unpack")):
        declared[node.name] = {key for dep in node.deps for key in getattr(dep, "params", ())}
        with monkeypatch.context() as patch:
            reads = Reads(numbers, patch)
            if node.name in ELSE:
                call(node.cmd, changed(numbers, ELSE[node.name]))
            call(node.cmd, numbers)
        found[node.name] = reads.found - MACHINE
    undeclared = {
        f"{stage} reads {key}"
        for stage, keys in found.items()
        for key in keys
        if not any(within(key, one) for one in declared[stage])
    }
    unread = {
        f"{stage} does not read {one}"
        for stage, ones in declared.items()
        for one in ones
        if not any(within(key, one) for key in of_verb(stage, found))
    }
    assert undeclared == set()
    assert unread == set()


def of_verb(stage: str, found: dict[str, set[str]]) -> set[str]:
    """Return the keys that a stage reads, or another run of the same."""
    verb = stage.partition("@")[0]
    return {key for name, keys in found.items() if name.partition("@")[0] == verb for key in keys}
