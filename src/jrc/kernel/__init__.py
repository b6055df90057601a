"""What speaks to one kernel: the websocket, the messages, what is in flight, the session."""
