"""The figures the daemon is held to, measured as ratios to a baseline of the same run: `make bench`.

Rooms: figures (values and the table) · stage (processes, the token, what the kernel says of a process) · sts (an STS
at 0 ms) · load (the load generator) · plain, plain_reviews (the servers to compare with) · walks (the daemon under a
clock that jumps) · start, serving, reviews, memory, idle (one figure each).
"""
