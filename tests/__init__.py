"""The proofs: one module of tests per module of the sidecar, over builders, real files and real sockets."""
