"""The paper's experiment on real data: Table 1, Figures 4 and 5."""
