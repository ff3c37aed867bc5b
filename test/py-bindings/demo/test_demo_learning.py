"""The parts of the demo that compute: data, advantages, policy, loss. All on fixed seeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transferq.demo.advantages import group_advantages, token_rewards
from transferq.demo.columns import Jagged
from transferq.demo.data import STRIP_MAX, STRIP_MIN, load_split, strip_of_group, strips_of_all
from transferq.demo.grpo import Learner, Samples
from transferq.demo.policy import Strips, load_parameters, log_probs, new_policy, parameter_vector, sample


def strips_of(digits, seed, groups, siblings=1):
    strips = [strip for group in groups for strip in [strip_of_group(digits, seed, group)] * siblings]
    return Jagged.of_rows([strip.pixels for strip in strips]), Jagged.of_rows([strip.labels for strip in strips])


def test_split_covers_all_digits_once_and_never_mixes():
    train, held_out = load_split(7)
    assert len(train.labels) + len(held_out.labels) == 1797
    assert len(held_out.labels) == 359
    seen = {pixels.tobytes() for pixels in train.pixels}
    assert not any(pixels.tobytes() in seen for pixels in held_out.pixels)
    assert train.pixels.dtype == np.float32
    assert 0 <= train.pixels.min() < train.pixels.max() <= 1


def test_strips_are_the_same_whoever_asks():
    train, held_out = load_split(7)
    first, again = strip_of_group(train, 7, 12), strip_of_group(train, 7, 12)
    assert first.pixels.tobytes() == again.pixels.tobytes()
    lengths = {len(strip_of_group(train, 7, group).labels) for group in range(60)}
    assert lengths == set(range(STRIP_MIN, STRIP_MAX + 1))
    assert sum(len(strip.labels) for strip in strips_of_all(held_out, 7)) == 359


def test_advantages_compare_siblings_position_by_position():
    labels = np.array([3, 5, 3, 5, 9], np.int64)
    rewards = token_rewards(np.array([3, 5, 1, 5, 9], np.int64), labels)
    assert rewards.tolist() == [1, 1, 0, 1, 1]
    advantages = group_advantages(rewards[:4], np.array([0, 2, 4]), group_size=2)
    np.testing.assert_allclose(advantages, [1, 0, -1, 0], atol=1e-3)


@pytest.mark.parametrize("offsets", [[0, 2, 4, 6], [0, 2, 5]])
def test_advantages_refuse_groups_that_are_not_whole(offsets):
    with pytest.raises(ValueError, match="group"):
        group_advantages(np.zeros(offsets[-1], np.float32), np.array(offsets), group_size=2)


def test_log_probs_of_a_sample_are_what_the_sampler_said():
    train, _ = load_split(7)
    prompts, _ = strips_of(train, 7, range(20))
    policy, strips = new_policy(7), Strips.of(prompts)
    written = sample(policy, strips, torch.Generator().manual_seed(1))
    torch.testing.assert_close(log_probs(policy, strips, written.tokens), written.logp)
    again = sample(policy, strips, torch.Generator().manual_seed(1))
    assert torch.equal(written.tokens, again.tokens)


def test_a_row_gets_the_same_log_probs_in_any_batch():
    train, _ = load_split(7)
    prompts, _ = strips_of(train, 7, range(20))
    policy, strips = new_policy(7), Strips.of(prompts)
    written = sample(policy, strips, torch.Generator().manual_seed(1))
    start, end = prompts.offsets[4], prompts.offsets[5]
    alone = Strips(strips.values[start:end], torch.tensor([0, end - start]))
    torch.testing.assert_close(log_probs(policy, alone, written.tokens[start:end]), written.logp[start:end])


def test_parameters_travel_as_one_vector():
    policy, other = new_policy(1), new_policy(2)
    load_parameters(other, parameter_vector(policy))
    assert torch.equal(parameter_vector(other), parameter_vector(policy))


def test_learns_by_reinforcement_from_samples_that_are_four_versions_old():
    train, _ = load_split(7)
    policy, reference, sampler = new_policy(7), new_policy(7), new_policy(7)
    learner, generator = Learner(policy, steps=400), torch.Generator().manual_seed(7)
    published, rewards_seen = [parameter_vector(policy).clone()], []
    for step in range(80):
        load_parameters(sampler, published[max(0, step - 4)])
        prompts, labels = strips_of(train, 7, range(step * 8, step * 8 + 8), siblings=8)
        strips = Strips.of(prompts)
        written = sample(sampler, strips, generator)
        with torch.no_grad():
            ref_logp = log_probs(reference, strips, written.tokens)
        rewards = token_rewards(written.tokens.numpy(), labels.values)
        advantages = torch.from_numpy(group_advantages(rewards, prompts.offsets, group_size=8))
        facts = learner.update(Samples(strips, written.tokens, written.logp, ref_logp, advantages))
        published.append(parameter_vector(policy).clone())
        rewards_seen.append(rewards.mean())
    assert facts.kl > 0
    assert np.mean(rewards_seen[:10]) < 0.2
    assert np.mean(rewards_seen[-10:]) > 0.35
