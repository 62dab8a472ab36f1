"""The command, the demo and the simulated plants; puts the other packages together."""
