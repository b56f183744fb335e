"""The wall: short texts that every node may write and every node shows."""
