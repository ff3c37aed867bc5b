"""One GRPO update: the clipped policy loss of PPO on per-token advantages, and a small pull towards the reference.

    ratio = exp(logp - old_logp)                                  old_logp: of the policy version that sampled
    loss  = mean( -min(ratio * A, clip(ratio) * A) + klScale * k3 )
    k3    = exp(ref_logp - logp) - (ref_logp - logp) - 1          >= 0, 0 where policy and reference agree

Rollouts may be a few versions old: the ratio corrects for it and the clip bounds what an old sample may do. There is no
supervised term anywhere: the loss sees tokens that the policy sampled and their advantages, never a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from transferq.demo.policy import log_probs

if TYPE_CHECKING:
    from torch import Tensor

    from transferq.demo.policy import Policy, Strips

LEARNING_RATE = 5e-3
LEARNING_RATE_END = 5e-4
CLIP = 0.2
KL_SCALE = 0.01
GRADIENT_NORM_MAX = 1.0


class Samples(NamedTuple):
    """A jagged batch: the prompts, and per token of their responses [t] what the stages before found out about it."""

    strips: Strips
    tokens: Tensor
    old_logp: Tensor
    ref_logp: Tensor
    advantages: Tensor


@dataclass(frozen=True)
class UpdateFacts:
    """What one update did: the loss, the distance to the reference, and the share of tokens that the clip held back."""

    loss: float
    kl: float
    clipped_share: float


class Learner:
    """A policy and its optimiser; the learning rate falls linearly over the planned number of steps."""

    def __init__(self, policy: Policy, *, steps: int) -> None:
        self.policy = policy
        self._optimizer = torch.optim.Adam(policy.parameters(), lr=LEARNING_RATE)
        end_share = LEARNING_RATE_END / LEARNING_RATE
        self._schedule = torch.optim.lr_scheduler.LinearLR(self._optimizer, 1.0, end_share, total_iters=steps)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update depends on."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {"policy": self.policy, "optimizer": self._optimizer, "schedule": self._schedule}

    def update(self, samples: Samples) -> UpdateFacts:
        """One gradient step on one batch of whole groups."""
        logp = log_probs(self.policy, samples.strips, samples.tokens)
        ratio = (logp - samples.old_logp).exp()
        clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
        gain = torch.minimum(ratio * samples.advantages, clipped * samples.advantages)
        distance = samples.ref_logp - logp
        kl = distance.exp() - distance - 1
        loss = (KL_SCALE * kl - gain).mean()
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), GRADIENT_NORM_MAX)
        self._optimizer.step()
        self._schedule.step()
        held_back = (gain.detach() < (ratio * samples.advantages).detach()).float().mean()
        return UpdateFacts(loss.item(), kl.detach().mean().item(), held_back.item())
