"""What `docs/protocol.md` says of the layers above the wire, with numbers taken from the code."""

from __future__ import annotations

from marketplace.services.certificates import PAYMENTS
from marketplace.services.offering_records import TTL_MAX_S
from marketplace.services.tributes import ANSWER_DEADLINE_S
from marketplace.states import RejectCode
from p2p.outbox import COMMAND_EXPIRY_S
from p2p.protocol.limits import PAYMENTS_NAMED_MAX
from p2p.relay import RETRY_FIRST_S, RETRY_MAX_S, UNREACHED_RETRY_S
from swarm.services.dispatch import ASSIGN_EXPIRY_S
from swarm.services.reports import NOT_BEGUN
from voidlux_site.environment import Environment


def delivery_times() -> str:
    """Return how long this implementation waits and repeats."""
    return f"""### How long a node repeats a command

| What | Seconds |
|---|---|
| first repetition when no ACK came, doubled each time, ±20 % | {RETRY_FIRST_S:g} |
| longest pause between repetitions | {RETRY_MAX_S:g} |
| next try when the receiver could not be reached; its known addresses are dialled meanwhile | \
{UNREACHED_RETRY_S:g} |
| a command expires, unless said otherwise below | {COMMAND_EXPIRY_S:g} |
| TRIBUTE_REQUEST expires, with the tribute's `deadline_at` | {ANSWER_DEADLINE_S:g} |
| TASK_ASSIGN expires | {ASSIGN_EXPIRY_S:g} |
| TASK_COMPLETE, TRIBUTE_VERDICT and CONSENSUS_* expire, but for the two of its sync | never |

These are the sender's own affair: a receiver must cope with any. A receiver remembers the answered
`msg_id`s of every origin, so that a command is never done twice however late it comes again.
A refusal has one of the codes that this page names where they matter, or `unsupported` (no such
command here), `not_found`, `wrong_state`, `not_allowed`, `malformed`; unknown codes mean "no"."""


def marketplace_rules() -> str:
    """Return the topic's rules and the trade, message by message."""
    default = {name: field.default for name, field in Environment.model_fields.items()}
    rejects = ", ".join(f"`{code}`" for code in RejectCode)
    lost = ", ".join(f"`{code}`" for code in sorted(NOT_BEGUN))
    return f"""## The marketplace

### Topic `marketplace`

The key of an OFFERING_ANNOUNCE is `offering.id`, the key of an OFFERING_WITHDRAW is its
`offering_id`. Both are records of one numbering: the withdrawal of an offering that was announced
with `seq` 1 has `seq` 2. Only the seller may write a key: `origin` must equal `offering.node_id`
(`node_id` in a withdrawal), and once an offering is known, its seller. Anything else is ignored,
without blame for the peer that handed it on.

An announcement counts until `expires_at`, at most {TTL_MAX_S:g} seconds from its
`lamport_ts`; `created_at` must not be later. It is renewed by announcing the same `id` again with
a new `expires_at` (nodes do so when a third of {default["offering_ttl_s"]} seconds is left) and
changed in the same way. A withdrawal is a tombstone, kept 7 days from its `lamport_ts`; who sells
again takes a new `id`. Datetimes are RFC 3339 in UTC with `Z`, to the microsecond at most.

### A trade

```text
buyer                                              seller
                                             <-    OFFERING_ANNOUNCE (to everybody)
holds total_cost
TRIBUTE_REQUEST                              ->    checks it, tries a push (dry run)
                                             <-    TRIBUTE_ACCEPT, its agents are reserved
                                                   (or TRIBUTE_REJECT: the hold is released)
for each execution:
    TASK_ASSIGN                              ->
                                             <-    TASK_CLAIM (or TASK_FAIL: not begun)
                                             <-    TASK_PROGRESS, now and then
                                                   pushes the branch
                                             <-    TASK_COMPLETE (or TASK_FAIL)
    merges, tests and pushes that commit
    TRIBUTE_VERDICT accepted                 ->    (or rework: TASK_ASSIGN again, no new price;
                                                   or refused: the price is released)
    CONSENSUS_PROPOSE, captures the price    ->
                                             <-    CONSENSUS_VOTE, credits the price
    CONSENSUS_COMMIT                         ->    (or CONSENSUS_ABORT by the seller: a proposal
                                                   that breaks a rule; the capture is taken back)
TRIBUTE_CANCEL for what was not assigned     ->
```

Every arrow but the first is a command and is answered by an ACK of its own, which is not drawn.
Commands may overtake each other: PROPOSE may come before its VERDICT and stands for it.

- TRIBUTE_REQUEST: `from_node_id` is the command's origin, `to_node_id` the receiver,
  `total_cost` is `task_count` times the offering's price. The seller answers by `deadline_at`;
  silence is a refusal. It refuses with one of {rejects}; `refused` is the word of a person.
- TRIBUTE_ACCEPT: the agents stay reserved until `reserved_until`
  ({default["reservation_s"]} seconds); the first TASK_ASSIGN makes that last, at most
  until `work_deadline_at`. `tx_hash` names the request by the SHA-256 of its payload as sent.
  Both sides then name the deal by 0x and the SHA-256 of the payloads of request and acceptance,
  one after the other.
- TASK_ASSIGN: `generation` rises with every dispatch of a task; a report with another one is
  refused with `stale_generation`. The work is pushed to `task/{{first 8 digits of the task id}}`,
  with `-2`, `-3` and so on appended for further attempts; a report that names another branch is
  refused with `wrong_branch`. TASK_FAIL says that nothing was begun when its code is one of
  {lost}:
  the attempt does not count, and the seller has lost this execution.
- TASK_PROGRESS renews a lease of {default["lease_s"]} seconds; without it somebody else gets
  the task.
- TASK_COMPLETE counts when the remote shows `commit` as the head of `git_branch`.
- TRIBUTE_CANCEL: `released_count` counts all executions given back so far, so that repeating it
  changes nothing. `task_ids` names assigned tasks that the buyer wants back: the seller ends their
  runs, or refuses with `already_reported` when it has written the TASK_COMPLETE of one of them;
  then none of them is taken back, and the reported one is judged as usual. The seller sends it
  with an empty `task_ids` when a tribute ends before its first TASK_ASSIGN.
- `work_deadline_at`: what is not reported by then ends at the seller and is released by the buyer;
  a TASK_COMPLETE after it is refused with `expired`.
- Policy `accepted_result`: one execution per task, `run` is 1, paid when the buyer's gate has
  accepted a result. Policy `execution`: one execution per TASK_ASSIGN, `run` is its `generation`,
  paid when the remote shows the reported commit.
- CONSENSUS_PROPOSE is irrevocable and pays one execution once: `amount` is the tribute's price
  per task. PROPOSE and VOTE, both signed, are the certificate of the payment. COMMIT moves
  nothing. ABORT answers only a proposal between the wrong parties, with the wrong amount or id, for
  a run that was not done under the tribute, was refused, or is paid already.
- The id of a payment is the UUID version 5 in the namespace `{PAYMENTS}`
  of the text `tribute_id:task_id:run`, so that an execution has one payment whoever forgets what.
- CONSENSUS_SYNC_REQ asks the other party of payments what the sender lacks. `held` names all its
  payments with the receiver whose id begins with `prefix`, but aborted ones; beyond
  {PAYMENTS_NAMED_MAX} of them, 16 `digests` stand for it: the first 32 hex digits of SHA-256 over
  the lines `id:stage`, ordered, joined by line feeds, of the payments with each next digit.
  CONSENSUS_SYNC_RSP has the `certificates` of what the asker lacks or has less far, or the longer
  prefixes that `differ`; two nodes that agree need none. The receiver of a request that itself
  lacks something asks back, unless the request was `returned`. A certificate counts by the
  signatures in it: `not_certified` without both, `not_a_party` between other nodes."""
