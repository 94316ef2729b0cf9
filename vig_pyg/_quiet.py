"""Imports PyG first, without three notices that users can do nothing about.

PyG says that it ignores torch_cluster (we call it ourselves), torch_scatter still compiles with TorchScript, and torch
calls its CSR tensors beta once in a process.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'torch-cluster' is no longer necessary", DeprecationWarning)
    # a DeprecationWarning of older versions of torch, a FutureWarning of newer ones
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated")
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
    import torch
    import torch_geometric.nn  # noqa: F401

    torch.ones(1, 1).to_sparse_csr()
