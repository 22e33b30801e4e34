"""The network as values: graph, nodes, host operations. No torch, no other room."""
