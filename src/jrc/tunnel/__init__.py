"""A port-forward that stays up: pick a pod, supervise kubectl, keep one stable local port."""
