"""What `docs/protocol.md` says of the mesh's own topics, with numbers taken from the code."""

from __future__ import annotations

from p2p.protocol import limits


def posts_rules() -> str:
    """Return the rules of the wall."""
    return f"""## The wall

### Topic `posts`

A POST is a text for the wall of every node, a POST_REMOVE takes it off again. Both are records of
one numbering. The key is the `origin`, a hyphen and the post's id: an id belongs to its node, and
nobody can occupy another's. Only a post's own node writes it: `node_id` must equal `origin`, and
`created_at` in unix milliseconds must not exceed `lamport_ts`. Anything else is ignored, without
blame for the peer that handed it on.

A post counts for {limits.POST_LIFE_DAYS} days from `created_at`. Its removal repeats `created_at`
and counts exactly as long, so that no copy which was kept somewhere can bring the post back.

A node writes at most {limits.POSTS_PER_MINUTE_MAX} posts a minute. What others believe of one
origin is bounded by rules that look at the records alone, so that the order in which they come
makes no difference:

- of all its records of the topic, removals included, the {limits.POSTS_PER_ORIGIN_MAX} with the
  highest (`incarnation`, `seq`) count;
- of its posts with `created_at` in the same minute (UTC) the {limits.POSTS_PER_MINUTE_MAX} with
  the lowest (`incarnation`, `seq`) count.

What does not count is received and forgotten."""
