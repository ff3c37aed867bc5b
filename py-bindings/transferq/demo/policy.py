"""The policy: a small network that looks at a strip of digit images and writes one token per image.

    values [t, 64] -> encoder -> features [t, 64]           t = images of all strips, strip after strip
    per position:  cell(feature, token before) -> state,  head(state, feature) -> logits over the 10 tokens

A batch of strips is jagged. The encoder runs on the flat values; the decoder runs on rows padded to the longest strip,
and what it writes is packed flat again, so padding never leaves this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transferq.demo.columns import Jagged

TOKEN_COUNT = 10
BEGIN_TOKEN = TOKEN_COUNT
FEATURE_SIZE = 64
STATE_SIZE = 64
TOKEN_SIZE = 8


class Strips(NamedTuple):
    """A jagged batch of prompts: `values` [t, 64] float32, strip i = values[offsets[i] : offsets[i + 1]]."""

    values: Tensor
    offsets: Tensor

    @staticmethod
    def of(prompt: Jagged) -> Strips:
        """The prompts of a received batch: views of the received bytes."""
        return Strips(torch.from_numpy(prompt.values), torch.from_numpy(prompt.offsets))


class Policy(nn.Module):
    """Encoder of one image and a recurrent decoder that writes one token per image."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 2 * 2, FEATURE_SIZE),
            nn.ReLU(),
        )
        self.token = nn.Embedding(TOKEN_COUNT + 1, TOKEN_SIZE)
        self.cell = nn.GRUCell(FEATURE_SIZE + TOKEN_SIZE, STATE_SIZE)
        self.head = nn.Linear(STATE_SIZE + FEATURE_SIZE, TOKEN_COUNT)

    def features(self, strips: Strips) -> tuple[Tensor, Tensor]:
        """Features padded to [n, k_max, FEATURE_SIZE], and the mask [n, k_max] of the images that are there."""
        lengths = strips.offsets.diff()
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        encoded: Tensor = self.encoder(strips.values)
        padded = encoded.new_zeros((*mask.shape, FEATURE_SIZE))
        padded[mask] = encoded
        return padded, mask

    def step(self, feature: Tensor, token: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One position of all rows: log-probabilities [n, 10] of the next token, and the new state."""
        state = self.cell(torch.cat([feature, self.token(token)], dim=1), state)
        logits: Tensor = self.head(torch.cat([state, feature], dim=1))
        return logits.log_softmax(dim=1), state


class Response(NamedTuple):
    """What the policy wrote, flat: `tokens` [t] int64 and the log-probability of each, `logp` [t] float32."""

    tokens: Tensor
    logp: Tensor


def new_policy(seed: int) -> Policy:
    """An untrained policy, the same one for the same seed."""
    torch.manual_seed(seed)
    return Policy()


@torch.no_grad()
def sample(policy: Policy, strips: Strips, generator: torch.Generator | None) -> Response:
    """Write one response per strip, token by token; without a generator always the likeliest token."""
    features, mask = policy.features(strips)
    state = features.new_zeros(len(mask), STATE_SIZE)
    token = torch.full((len(mask),), BEGIN_TOKEN)
    tokens, logps = [], []
    for feature in features.unbind(1):
        logp, state = policy.step(feature, token, state)
        token = logp.argmax(1) if generator is None else logp.exp().multinomial(1, generator=generator).squeeze(1)
        tokens.append(token)
        logps.append(_of_tokens(logp, token))
    return Response(torch.stack(tokens, 1)[mask], torch.stack(logps, 1)[mask])


def log_probs(policy: Policy, strips: Strips, tokens: Tensor) -> Tensor:
    """The log-probability [t] that `policy` gives to each token of responses that are already written."""
    features, mask = policy.features(strips)
    padded = torch.zeros(mask.shape, dtype=torch.int64)
    padded[mask] = tokens
    before = torch.cat([torch.full((len(mask), 1), BEGIN_TOKEN), padded[:, :-1]], dim=1)
    state = features.new_zeros(len(mask), STATE_SIZE)
    logps = []
    for feature, token_before, token in zip(features.unbind(1), before.unbind(1), padded.unbind(1), strict=True):
        logp, state = policy.step(feature, token_before, state)
        logps.append(_of_tokens(logp, token))
    return torch.stack(logps, 1)[mask]


def parameter_vector(policy: Policy) -> Tensor:
    """All parameters as one flat float32 vector: what is published through the store."""
    return nn.utils.parameters_to_vector(policy.parameters()).detach()


def load_parameters(policy: Policy, vector: Tensor) -> None:
    """The reverse of `parameter_vector`; the vector is copied, so it may be a view of a received buffer."""
    with torch.no_grad():
        nn.utils.vector_to_parameters(vector.clone(), policy.parameters())


def _of_tokens(logp: Tensor, token: Tensor) -> Tensor:
    return logp.gather(1, token[:, None]).squeeze(1)
