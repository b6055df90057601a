"""One kernel: its websocket, its messages, the requests in flight, its session."""
