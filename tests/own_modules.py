"""Texts of modules that a user of the library might write."""

#: An operator, which needs `torch` and `nn`.
OPERATOR = '''class OwnMean(nn.Module):
    """The mean of the neighbors, and a linear layer."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)

    def forward(self, x, edge_index):
        x_src, x_dst = x if isinstance(x, tuple) else (x, x)
        source, target = edge_index
        total = torch.zeros_like(x_dst).index_add(0, target, x_src[source])
        return self.linear(total / torch.bincount(target, minlength=len(x_dst)).clamp(min=1)[:, None])
'''
