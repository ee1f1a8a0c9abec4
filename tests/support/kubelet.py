"""Pods and what Kubernetes does to them: probes, restarts, SIGTERM and then SIGKILL, a rolling update."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpx

from tests.support.balancer import Balancer
from tests.support.http import plain_client
from tests.support.processes import Child, module_process
from tests.support.waiting import eventually

ADDRESS = r"Uvicorn running on http://127\.0\.0\.1:(\d+)"
BACK_OFF = 0.5
"""Seconds before a container that ended is started again; Kubernetes begins with ten."""
DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of a container, by the names that it has in a manifest.

    Attributes:
        path: What is asked.
        period: Seconds between two questions.
        timeout: Seconds for the answer.
        failure_threshold: So many failures in a row count.

    """

    path: str
    period: float = 0.2
    timeout: float = 10.0
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True)
class Image:
    """What a container is started from.

    Attributes:
        name: Its tag.
        environment: Its variables.

    """

    name: str
    environment: Mapping[str, str]


PROBES: Mapping[str, Probe] = {
    "startup": Probe("/livez", failure_threshold=300),
    # Longer than a process needs to end once it has closed its port, which a busy machine draws out.
    "liveness": Probe("/livez", failure_threshold=50),
    "readiness": Probe("/readyz", failure_threshold=1),
}
"""As docs/examples/kubernetes sets them, only quicker."""


class Pod:
    """One pod with one container.

    Attributes:
        image: What it runs.
        killed_by: The probes that had its container killed.
        exits: The exit codes of its containers.
        probed: How often each probe was answered, by its name and "ok" or "failed".

    """

    def __init__(self, image: Image, balancer: Balancer, probes: Mapping[str, Probe], grace: float) -> None:
        self.image = image
        self.killed_by: list[str] = []
        self.exits: list[int] = []
        self.probed: Counter[tuple[str, str]] = Counter()
        self._leaving = asyncio.Event()
        self.child: Child | None = None
        self._balancer = balancer
        self._probes = probes
        self._grace = grace

    @property
    def is_ready(self) -> bool:
        return self in self._balancer.ready

    @property
    def is_leaving(self) -> bool:
        return self._leaving.is_set()

    async def live(self, client: httpx.AsyncClient) -> None:
        """Run its container, again and again until the pod is told to go."""
        environment = {**self.image.environment, "IMAGE": self.image.name}
        arguments = ("tests.support.pod:app", "--port", "0", "--no-access-log")
        while not self.is_leaving:
            async with (
                module_process("uvicorn", *arguments, environment=environment) as child,
                asyncio.TaskGroup() as tasks,
            ):
                self.child = child
                probing = tasks.create_task(self._probe_all(child, client))
                self.exits.append(await child.wait(deadline=300))
                probing.cancel()
            self._balancer.ready.pop(self, None)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), BACK_OFF)

    async def leave(self) -> None:
        """Be deleted: out of the balancer, then, after a preStop that lets that get around, SIGTERM."""
        self._leaving.set()
        self._balancer.ready.pop(self, None)
        await self._balancer.drained(self)
        await self._end()

    async def _end(self) -> None:
        child = self.child
        if child is None or child.returncode is not None:
            return
        child.send_signal(signal.SIGTERM)
        try:
            await child.wait(deadline=self._grace)
        except AssertionError:
            child.kill()

    async def _probe_all(self, child: Child, client: httpx.AsyncClient) -> None:
        try:
            line = await child.line_matching(ADDRESS, deadline=DEADLINE)
        except AssertionError:
            if self.is_leaving:  # and its container, just begun, had said nothing when SIGTERM came
                return
            raise
        port = int(line.rpartition(":")[2].split()[0])
        await self._probe("startup", port, client, until_success=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._probe("liveness", port, client))
            tasks.create_task(self._probe("readiness", port, client))

    async def _probe(self, name: str, port: int, client: httpx.AsyncClient, *, until_success: bool = False) -> None:
        probe, failures = self._probes[name], 0
        while not self.is_leaving:
            succeeded = await _succeeds(client, f"http://127.0.0.1:{port}{probe.path}", probe.timeout)
            self.probed[name, "ok" if succeeded else "failed"] += 1
            failures = 0 if succeeded else failures + 1
            if succeeded and until_success:
                return
            if name == "readiness":
                self._route(port, ready=failures < probe.failure_threshold and (succeeded or self.is_ready))
            elif failures >= probe.failure_threshold:
                self.killed_by.append(name)
                await self._end()
                return
            await asyncio.sleep(probe.period)

    def _route(self, port: int, *, ready: bool) -> None:
        if ready and not self.is_leaving:
            self._balancer.ready[self] = port
        else:
            self._balancer.ready.pop(self, None)


async def _succeeds(client: httpx.AsyncClient, url: str, timeout: float) -> bool:  # noqa: ASYNC109 - the probe's
    try:
        return (await client.get(url, timeout=timeout)).is_success
    except httpx.HTTPError:
        return False


class Deployment:
    """So many pods of one image, changed a few at a time.

    Attributes:
        pods: Those that are there, the leaving ones too.
        ever: All that ever were.

    """

    def __init__(
        self,
        balancer: Balancer,
        tasks: asyncio.TaskGroup,
        client: httpx.AsyncClient,
        *,
        replicas: int = 3,
        max_surge: int = 1,
        max_unavailable: int = 0,
        grace: float = 30.0,
    ) -> None:
        self.pods: list[Pod] = []
        self.ever: list[Pod] = []
        self._balancer = balancer
        self._tasks = tasks
        self._client = client
        self._replicas = replicas
        self._max_pods = replicas + max_surge
        self._min_ready = replicas - max_unavailable
        self._grace = grace
        self._living: dict[Pod, asyncio.Task[None]] = {}

    async def roll_out(self, image: Image, *, deadline: float = 100.0) -> None:
        """Replace the pods by those of another image, as `kubectl set image` and `rollout status` do."""
        async with asyncio.timeout(deadline):
            while not await self._step(image):  # noqa: ASYNC110 - a step looks at what many tasks change
                await asyncio.sleep(0.02)

    async def _step(self, image: Image) -> bool:
        staying = [pod for pod in self.pods if not pod.is_leaving]
        new = [pod for pod in staying if pod.image is image]
        old = [pod for pod in staying if pod.image is not image]
        if len(new) < self._replicas and len(self.pods) < self._max_pods:
            self.start(image)
        # One that is not ready is missed by nobody.
        spare = next((pod for pod in old if not pod.is_ready), None)
        if spare is None and old and sum(pod.is_ready for pod in staying) > self._min_ready:
            spare = old[0]
        if spare is not None:
            self._tasks.create_task(self.delete(spare))
            await asyncio.sleep(0)
        return not old and len(new) == self._replicas and all(pod.is_ready for pod in new)

    def start(self, image: Image) -> Pod:
        """Start one more pod."""
        pod = Pod(image, self._balancer, PROBES, self._grace)
        self.pods.append(pod)
        self.ever.append(pod)
        self._living[pod] = self._tasks.create_task(pod.live(self._client))
        return pod

    async def delete(self, pod: Pod) -> None:
        """Let a pod leave, as a drained node does."""
        await pod.leave()
        await self._living[pod]
        self.pods.remove(pod)

    async def close(self) -> None:
        """Delete all pods."""
        await asyncio.gather(*(self.delete(pod) for pod in self.pods if not pod.is_leaving))

        async def is_empty() -> bool:
            return not self.pods

        await eventually(is_empty, deadline=DEADLINE)


@asynccontextmanager
async def deploying(balancer: Balancer, **options: float) -> AsyncIterator[Deployment]:
    """Yield a deployment without pods; those that it gets are gone afterwards."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with (
        plain_client(limits=limits, trust_env=False) as client,
        asyncio.TaskGroup() as tasks,
    ):
        deployment = Deployment(balancer, tasks, client, **options)  # type: ignore[arg-type]  # whole numbers
        yield deployment
        await deployment.close()
