from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import Factory

from py_worker.batch import MicroBatch, collate, micro_batches, probe_packing

LENGTHS = [5, 12, 33, 1, 12, 20, 7]


def test_buckets_hold_rows_of_like_length_longest_first():
    split = micro_batches([100, 10, 100, 10], token_budget=400, layout="bucket")
    assert split == [MicroBatch((0, 2), rows=2, width=100), MicroBatch((1, 3), rows=2, width=10)]


def test_packing_is_first_fit_decreasing():
    split = micro_batches([3, 6, 4, 5], token_budget=10, layout="pack")
    assert split == [MicroBatch((1, 2), rows=1, width=10), MicroBatch((3, 0), rows=1, width=8)]


@pytest.mark.parametrize("layout", ["bucket", "pack"])
@pytest.mark.parametrize("budget", [1, 24, 40, 1000])
def test_every_sequence_is_in_one_micro_batch_within_the_budget(layout: str, budget: int):
    split = micro_batches(LENGTHS, budget, layout)
    assert sorted(i for part in split for i in part.sequences) == list(range(len(LENGTHS)))
    for part in split:
        lengths = [LENGTHS[i] for i in part.sequences]
        assert part.rows * part.width <= budget or len(lengths) == 1
        assert part.width == (sum(lengths) if layout == "pack" else max(lengths))
    assert split == micro_batches(np.array(LENGTHS), budget, layout)


def test_equal_lengths_keep_the_order_they_came_in():
    (only,) = micro_batches([4, 4, 4], token_budget=100, layout="bucket")
    assert only.sequences == (0, 1, 2)


def test_bucket_collation_pads_right_and_maps_slots_to_tokens():
    ids, offsets = np.array([7, 8, 9, 5, 6], dtype=np.int32), np.array([0, 3, 5])
    collated = collate(MicroBatch((0, 1), rows=2, width=3), ids, offsets)
    assert collated.ids_BT.tolist() == [[7, 8, 9], [5, 6, 0]]
    assert collated.position_ids_BT is None
    assert collated.tokens_BT.tolist() == [[0, 1, 2], [3, 4, -1]]
    assert collated.tokens_R.tolist() == [0, 1, 2, 3, 4]
    assert collated.slots_R.tolist() == [0, 1, 2, 3, 4]
    assert collated.predicted_P.tolist() == [1, 2, 4]
    assert collated.predictor_slots_P.tolist() == [0, 1, 3]


def test_pack_collation_restarts_positions():
    ids, offsets = np.array([7, 8, 9, 5, 6], dtype=np.int32), np.array([0, 3, 5])
    collated = collate(MicroBatch((1, 0), rows=1, width=5), ids, offsets)
    assert collated.ids_BT.tolist() == [[5, 6, 7, 8, 9]]
    assert collated.position_ids_BT is not None
    assert collated.position_ids_BT.tolist() == [[0, 1, 0, 1, 2]]
    assert collated.tokens_R.tolist() == [3, 4, 0, 1, 2]
    assert collated.predicted_P.tolist() == [4, 1, 2]
    assert collated.predictor_slots_P.tolist() == [0, 2, 3]


def test_packed_neighbours_do_not_leak_in_a_llama(tiny_model: Factory):
    assert probe_packing(tiny_model())


def test_the_packing_probe_sees_a_leak(tiny_model: Factory):
    model = tiny_model()
    layer = model.causal_lm.model.layers[0]
    layer.register_forward_pre_hook(lambda _, args: (args[0] + args[0].cumsum(1) * 1e-3, *args[1:]))
    assert not probe_packing(model)


def test_rounding_that_depends_on_all_tokens_is_no_leak(tiny_model: Factory):
    model = tiny_model()
    layer = model.causal_lm.model.layers[0]

    def round_by_all(_: object, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (args[0] * (1 + 1e-5 * torch.sin(1000 * args[0].sum())), *args[1:])

    layer.register_forward_pre_hook(round_by_all)
    assert probe_packing(model)
    layer.register_forward_pre_hook(lambda _, args: (args[0] + args[0].cumsum(1) * 1e-3, *args[1:]))
    assert not probe_packing(model)
