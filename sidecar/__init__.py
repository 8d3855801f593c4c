"""A token buys a session, each session buys the next: the credential-proxy sidecar."""

__version__ = "0.1.0"
