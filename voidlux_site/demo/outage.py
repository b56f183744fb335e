"""The seller that refuses the buyer and then dies: its offering must run out by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from voidlux_site.demo.client import Json
from voidlux_site.demo.following import TRIBUTE_ENDED
from voidlux_site.demo.nodes import NodeProcess, Nodes


class Outage:
    """Looks for the refusal, kills the seller then, and looks for the end of its offering."""

    def __init__(
        self,
        nodes: Nodes,
        seller: NodeProcess,
        describe: Callable[[NodeProcess], Json],
        say: Callable[[str], None],
    ) -> None:
        """Take the nodes, the seller, what reads a node's facts (while it can), what tells."""
        self._nodes = nodes
        self._describe = describe
        self._say = say
        self._seller = seller
        self._request: Json = {}
        self._killed_at = ""
        self._over = False
        self._last_facts: Json = {}

    def ask(self, offering: Json, goal_id: str) -> None:
        """Request one task of the seller that will refuse."""
        order = {"offering_id": offering["id"], "task_count": 1, "goal_id": goal_id}
        self._request = self._nodes.buyer.api.post("/tributes", order)

    def look(self) -> None:
        """Do what is due; raises what NodeClient raises."""
        if not self._last_facts:
            self._kill_when_answered()
        elif not self.is_over():
            self._look_at_offering()

    def is_over(self) -> bool:
        """Tell whether the offering has run out on every node that is left."""
        return self._over

    def seen(self) -> str:
        """Return how the offering is shown by each node that is left."""
        return ", ".join(f"{name}: {each['state']}" for name, each in self._offerings().items())

    def facts(self) -> Json:
        """Return what is known of the outage, the offering as every other node shows it now."""
        return {
            "seller": self._seller.plan.name,
            "tribute_id": self._request["id"],
            "offering_id": self._request["offering_id"],
            "killed_at": self._killed_at,
            "offerings": self._offerings(),
        }

    def last_facts(self) -> dict[str, Json]:
        """Return what the seller said of itself before it was killed, by its name."""
        return {self._seller.plan.name: self._last_facts} if self._last_facts else {}

    def _kill_when_answered(self) -> None:
        tribute = self._nodes.buyer.api.get(f"/tributes/{self._request['id']}")
        if tribute["status"] not in TRIBUTE_ENDED:
            return
        last_facts = self._describe(self._seller)
        pid = self._seller.crash()
        self._killed_at = datetime.now(UTC).isoformat()
        self._last_facts = last_facts
        name = self._seller.plan.name
        self._say(f"kill -9 {pid}: {name} is gone without a word, its offering still stands")

    def _look_at_offering(self) -> None:
        offerings = self._offerings()
        if all(each["state"] == "expired" for each in offerings.values()):
            self._over = True
            names = ", ".join(offerings)
            name = self._seller.plan.name
            self._say(f"the offering of {name} has expired on {names}: nobody renewed it")

    def _offerings(self) -> dict[str, Json]:
        path = f"/offerings/{self._request['offering_id']}"
        return {node.plan.name: node.api.get(path) for node in self._nodes.running}
