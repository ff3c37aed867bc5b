"""Training from a partition: a dataset and a data loader of PyTorch over a task, with leases, acks and checkpoints.

from transferq.torch import StreamingDataLoader, StreamingDataset

dataset = StreamingDataset(train, task="actor_update", fields=["prompt", "reward"], batch_size=64)
loader = StreamingDataLoader(dataset, num_workers=2, ack="checkpoint")
for batch in loader:
    step(batch["prompt"], batch["reward"])
    if loader.steps % 100 == 0:
        state = loader.state_dict()
        save({"model": model.state_dict(), "loader": state})
        loader.commit(state)
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError("transferq.torch needs PyTorch: pip install 'transferq[torch]'.") from error

from transferq.torch._batches import MicroBatch, TensorBatch
from transferq.torch._dataset import StreamingDataset
from transferq.torch._ledger import Settled
from transferq.torch._loader import StreamingDataLoader
from transferq.torch._tensordict import fields_of

__all__ = ["MicroBatch", "Settled", "StreamingDataLoader", "StreamingDataset", "TensorBatch", "fields_of"]
