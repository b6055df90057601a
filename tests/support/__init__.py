"""What the tests share: real servers, a proxy that breaks the link, the command as a process."""
