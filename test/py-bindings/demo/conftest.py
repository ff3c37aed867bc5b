"""One thread of PyTorch for all tests of the demo, as its workers have."""

import torch

torch.set_num_threads(1)
