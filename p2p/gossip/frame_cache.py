"""The frames of late, kept so that a peer that missed one can ask for it."""

from __future__ import annotations

from p2p.gossip.ids import RecordId

Key = tuple[str, str, str]  # origin, topic, key of the record


class FrameCache:
    """Frames by id, bounded in number and bytes; of one origin's key only the newest is held.

    Asked for a superseded record it gives the successor, which says all that still counts.
    """

    def __init__(self, ids_max: int, bytes_max: int) -> None:
        """Take how many ids are remembered and how many bytes of frames."""
        self.bytes_held = 0
        self._ids_max = ids_max
        self._bytes_max = bytes_max
        self._keys: dict[RecordId, Key] = {}
        self._newest: dict[Key, tuple[RecordId, bytes]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, record_id: RecordId, key: str, frame: bytes) -> None:
        """Hold a frame, in place of the one that it supersedes; the oldest give way."""
        full_key = (record_id.origin, record_id.topic, key)
        self._forget(record_id)
        newest = self._newest.get(full_key)
        self._keys[record_id] = full_key
        if newest is None or record_id.rank > newest[0].rank:
            self._newest[full_key] = (record_id, frame)
            self.bytes_held += len(frame) - (len(newest[1]) if newest else 0)
        while len(self._keys) > self._ids_max or self.bytes_held > self._bytes_max:
            self._forget(next(iter(self._keys)))

    def get(self, record_id: RecordId) -> tuple[RecordId, bytes] | None:
        """Return the frame of this id or of its successor, with the id that it really has."""
        key = self._keys.get(record_id)
        return None if key is None else self._newest.get(key)

    def is_superseded(self, record_id: RecordId) -> bool:
        """Tell whether a newer frame of the same key is known."""
        found = self.get(record_id)
        return found is not None and found[0] != record_id

    def _forget(self, record_id: RecordId) -> None:
        key = self._keys.pop(record_id, None)
        newest = None if key is None else self._newest.get(key)
        if key is not None and newest is not None and newest[0] == record_id:
            del self._newest[key]
            self.bytes_held -= len(newest[1])
