"""The demonstration: a centre, a broker, simulated devices, a gateway and people, all on this machine."""
