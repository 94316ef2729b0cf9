"""Imports PyG first, and suppresses four warnings that users cannot act on.

PyG warns that it ignores torch_cluster (vig_pyg calls it directly), and torch warns that torch_scatter still uses
TorchScript. Once per process torch warns that its CSR tensors are beta and, in 2.11, that their invariants are not
checked (vig_pyg disables the check explicitly).
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'torch-cluster' is no longer necessary", DeprecationWarning)
    # older versions of torch emit a DeprecationWarning, newer ones a FutureWarning
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated")
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
    warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled", UserWarning)
    import torch
    import torch_geometric.nn  # noqa: F401

    torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1), check_invariants=False)
