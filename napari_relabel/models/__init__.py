"""Networks, checkpoints and samplers: everything that needs torch."""

import os

# Must be set before torch starts its OpenMP threads. By default they spin while they wait, against
# each other and the GUI: on two busy cores a forward pass of the built-in network took 30 times
# as long, on idle ones the same.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
