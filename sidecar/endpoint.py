"""The credential endpoint: what the last good walk brought, at a path for each target and each shape."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from sidecar.board import Board, Meter
from sidecar.contract import Answer, Door, Refusal, Request, entry, path, refuse
from sidecar.formats import Shape, container, process
from sidecar.ledger import Ledger
from sidecar.model import Secret, Target

# R28: what an SDK asks for, and what `credential_process` prints, for a `curl` in a workload's own profile.
PATHS: Mapping[str, Shape] = {"/v1/credentials": container, "/v1/process": process}


class Endpoint:
    """Serves `targets`, the first of them also without its name.

    `tokens` are the authorization tokens by target name; None: nobody is asked for one. `clock` gives the seconds of
    the sidecar's own clock.
    """

    def __init__(
        self, targets: Sequence[Target], tokens: Mapping[str, Secret] | None, clock: Callable[[], float], meter: Meter
    ) -> None:
        self._targets = tuple(targets)
        self.board: Board[tuple[str, Shape]] = Board(clock, meter)
        self._doors: dict[str, Door] = {}
        for root, shape in PATHS.items():
            doors = [Door(target=t.name, token=tokens[t.name] if tokens else None, shape=shape) for t in targets]
            self._doors |= {root: doors[0], **{f"{root}/{door.target}": door for door in doors}}
        self.publish(Ledger())

    def publish(self, ledger: Ledger) -> None:
        """From now on serve what `ledger` holds."""
        shaped = ((target, shape) for target in self._targets for shape in PATHS.values())
        self.board.publish({(target.name, shape): entry(ledger, target, shape) for target, shape in shaped})

    def handle(self, request: Request) -> Answer | Awaitable[Answer]:
        """The answer, or the wait for the first one."""
        began = self.board.clock()
        door = self._doors.get(request.target) or self._doors.get(path(request.target))
        refusal = refuse(request, door)
        if refusal or not door:
            return self.board.refuse(refusal or Refusal.PATH)
        return self.board.give((door.target, door.shape), began)
