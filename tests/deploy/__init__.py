"""What is under deploy/, judged by the tools of those who will take it: `make deploy`."""
