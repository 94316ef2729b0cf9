"""Imports PyG first, without four notices that users can do nothing about.

PyG says that it ignores torch_cluster (we call it ourselves), torch_scatter still compiles with TorchScript, and torch
says once in a process that its CSR tensors are beta and, in 2.11, that nobody checks them (we say so in the call).
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'torch-cluster' is no longer necessary", DeprecationWarning)
    # a DeprecationWarning of older versions of torch, a FutureWarning of newer ones
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated")
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
    warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled", UserWarning)
    import torch
    import torch_geometric.nn  # noqa: F401

    torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1), check_invariants=False)
