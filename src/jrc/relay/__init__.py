"""A local kernel process that stands for a remote kernel: five ZMQ sockets to one websocket."""
