"""The store-and-forward protocol without sockets: messages, sender, receiver."""
