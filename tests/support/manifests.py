"""Manifests of Kubernetes, read as a cluster would: containers with their commands, variables and probes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod.

    Attributes:
        file: The manifest's name.
        workload: The Deployment or Job.
        pod: The pod's spec.
        spec: The container's own.

    """

    file: str
    workload: Document
    pod: Document
    spec: Document

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def command(self) -> list[str]:
        return list(self.spec["command"])

    @property
    def probes(self) -> dict[str, Document]:
        return {key: value for key, value in self.spec.items() if key.endswith("Probe")}

    def environment(self, secrets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """Return its variables, those of Secrets filled in."""
        found = {}
        for each in self.spec.get("env", ()):
            place = each["valueFrom"]["secretKeyRef"]
            found[each["name"]] = secrets[place["name"]][place["key"]]
        return found


def documents(directory: Path) -> Iterator[tuple[str, Document]]:
    """Yield the documents of all manifests under a directory, each with its file's name."""
    for path in sorted(directory.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text("utf-8")):
            yield path.relative_to(directory).as_posix(), document


def containers(found: Sequence[tuple[str, Document]]) -> Iterator[Container]:
    """Yield all containers, those that only prepare a pod too."""
    for file, document in found:
        pod = document.get("spec", {}).get("template", {}).get("spec", {})
        for spec in (*pod.get("initContainers", ()), *pod.get("containers", ())):
            yield Container(file, document, pod, spec)


def secrets(found: Sequence[tuple[str, Document]]) -> dict[str, dict[str, str]]:
    """Return what the Secrets hold, by their names."""
    return {each["metadata"]["name"]: each["stringData"] for _, each in found if each["kind"] == "Secret"}
